"""What a partner learns of editors."""

from typing import Final

from streamer.config import PRIVACY_SECRET_CHARS, PrivacySettings, read_secret

KEY: Final = "privacy.secret_file"


def privacy_secret(settings: PrivacySettings) -> bytes:
    """What pseudonyms are made with, empty where there is none; the file beats the setting. Raises
    ConfigError.
    """
    if not settings.secret_file:
        return settings.secret.encode()
    return read_secret(settings.secret_file, KEY, chars=PRIVACY_SECRET_CHARS).encode()
