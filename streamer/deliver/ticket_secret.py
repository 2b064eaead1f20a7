"""The secret that tickets are signed with, from the settings or from a file."""

from pathlib import Path
from typing import Final

from streamer.config import TICKET_SECRET_CHARS, DeliverSettings, read_text
from streamer.errors import ConfigError

KEY: Final = "deliver.ticket_secret_file"


def ticket_secret(settings: DeliverSettings) -> str:
    """The operator's, "" where there is none; the file beats the setting. Raises ConfigError."""
    if not settings.ticket_secret_file:
        return settings.ticket_secret
    file = settings.ticket_secret_file
    try:
        secret = read_text(Path(file)).strip()
    except ConfigError as error:
        raise ConfigError(KEY, f"{file}: {error.problem}") from None
    except OSError as error:
        raise ConfigError(KEY, f"{file}: {error.strerror}") from None
    if len(secret) < TICKET_SECRET_CHARS:
        raise ConfigError(KEY, f"{file} holds less than {TICKET_SECRET_CHARS} characters")
    return secret
