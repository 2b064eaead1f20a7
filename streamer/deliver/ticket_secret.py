"""The secret that tickets are signed with, from the settings or from a file."""

from pathlib import Path
from typing import Final

from streamer.config import DeliverSettings, read_text, ticket_secret_problem
from streamer.errors import ConfigError

KEY: Final = "deliver.ticket_secret_file"


def ticket_secret(settings: DeliverSettings) -> str:
    """The operator's, "" where there is none; the file beats the setting. Raises ConfigError."""
    if not settings.ticket_secret_file:
        return settings.ticket_secret.strip()
    file = settings.ticket_secret_file
    try:
        secret = read_text(Path(file)).strip()
    except ConfigError as error:
        raise ConfigError(KEY, str(error)) from None
    except OSError as error:
        raise ConfigError(KEY, f"{file}: {error.strerror}") from None
    if problem := ticket_secret_problem(secret):
        raise ConfigError(KEY, f"what {file} holds {problem}")
    return secret
