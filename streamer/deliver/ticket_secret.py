"""The secret that tickets are signed with, from the settings or from a file."""

from typing import Final

from streamer.config import TICKET_SECRET_CHARS, DeliverSettings, read_secret

KEY: Final = "deliver.ticket_secret_file"


def ticket_secret(settings: DeliverSettings) -> str:
    """The operator's, "" where there is none; the file beats the setting. Raises ConfigError."""
    if not settings.ticket_secret_file:
        return settings.ticket_secret.strip()
    return read_secret(settings.ticket_secret_file, KEY, chars=TICKET_SECRET_CHARS)
