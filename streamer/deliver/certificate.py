"""How long a certificate is valid. The standard library tells that of a peer's, not of one's own, so the few
fields of X.509 (RFC 5280, 4.1) up to the validity are walked here.
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.ASCII | re.DOTALL)
VERSION: Final = 0xA0
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
LONG_FORM: Final = 0x80


class Validity(NamedTuple):
    begins: datetime
    ends: datetime


def validity_of(pem: str) -> Validity:
    """Of the first certificate in the text: the server's own. Raises ValueError where there is none."""
    found = PEM.search(pem)
    if found is None:
        raise ValueError("holds no PEM certificate")
    try:
        ((_, certificate),) = _values(ssl.PEM_cert_to_DER_cert(found[0]))
        (_, to_be_signed), *_ = _values(certificate)
        fields = [(tag, value) for tag, value in _values(to_be_signed) if tag != VERSION]
        _, validity = fields[3]  # after serial number, signature algorithm, issuer
        begins, ends = (_time(tag, value) for tag, value in _values(validity))
    except (ValueError, IndexError):
        raise ValueError("holds a certificate that can't be read") from None
    return Validity(begins, ends)


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and values that stand one behind the other (X.690, with tags of one byte)."""
    while der:
        tag, length, at = der[0], der[1], 2
        if length & LONG_FORM:
            at += length - LONG_FORM
            length = int.from_bytes(der[2:at], "big")
        if at + length > len(der):
            raise ValueError("cut off")
        yield tag, der[at : at + length]
        der = der[at + length :]


def _time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == UTC_TIME:  # two digits for 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    elif tag != GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
