"""TLS in this process, and a certificate that is renewed without a restart.

Each handshake is handed the newest context, so that a renewed pair of files is in force as a whole or not at
all; streams that are open keep the session that they have.
"""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final

from streamer.config import NO_FILE_NAME, DeliverSettings
from streamer.deliver.certificate import Validity, validity_of
from streamer.errors import ConfigError
from streamer.metrics import DELIVER_CERTIFICATE_EXPIRY

CERTIFICATE: Final = "deliver.certificate"
PRIVATE_KEY: Final = "deliver.private_key"
MISMATCHES: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""OpenSSL's names for the key of another certificate; the last is 3.0's for another algorithm."""

logger = logging.getLogger(__name__)


class Tls:
    """`context` is what to listen with. Raises ConfigError naming the setting."""

    def __init__(self, settings: DeliverSettings) -> None:
        self._settings = settings
        self.context = self._newest = _loaded(settings)
        self.context.sni_callback = self._choose

    async def reload(self) -> None:
        """Reads both files again. Raises ConfigError; then the certificate before it stays in force."""
        self._newest = await asyncio.to_thread(_loaded, self._settings)

    def _choose(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """Called in each handshake, whether or not the client names a server."""
        if connection.context is not self._newest:
            connection.context = self._newest


def read_certificate(settings: DeliverSettings) -> tuple[ssl.SSLContext, Validity]:
    """A context with both files. Raises ConfigError naming the one that is wrong; an expired certificate is
    none: that is for who looks at the clock to say.
    """
    certificate = _read(CERTIFICATE, settings.certificate)
    _read(PRIVATE_KEY, settings.private_key)
    try:
        validity = validity_of(certificate)
    except ValueError as error:
        raise ConfigError(CERTIFICATE, f"{settings.certificate} {error}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could keep us busy with it
    context.set_alpn_protocols(["http/1.1"])
    try:
        # without a password of ours OpenSSL would ask the terminal for one
        context.load_cert_chain(settings.certificate, settings.private_key, password="")
    except ssl.SSLError as error:
        raise ConfigError(*_wrong(settings, error)) from None
    return context, validity


def _wrong(settings: DeliverSettings, error: ssl.SSLError) -> tuple[str, str]:
    if error.reason in MISMATCHES:
        return PRIVATE_KEY, f"{settings.private_key} does not belong to {settings.certificate}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(settings.certificate)
    except ssl.SSLError:
        return CERTIFICATE, f"{settings.certificate} holds a certificate that can't be read"
    return PRIVATE_KEY, f"{settings.private_key} holds no PEM private key that can be read without a password"


def _loaded(settings: DeliverSettings) -> ssl.SSLContext:
    context, validity = read_certificate(settings)
    DELIVER_CERTIFICATE_EXPIRY.set(validity.ends.timestamp())
    logger.info("certificate in force", extra={"expires": validity.ends.isoformat()})
    return context


def _read(where: str, file: str) -> str:
    try:
        return Path(file).read_bytes().decode("latin-1")
    except OSError as error:
        raise ConfigError(where, f"{file}: {error.strerror}") from None
    except ValueError:  # a NUL, or what the file system's encoding does not have
        raise ConfigError(where, f"{file!r}: {NO_FILE_NAME}") from None
