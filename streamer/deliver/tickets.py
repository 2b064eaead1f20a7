"""Tickets: a short-lived stand-in for a key, for the browser's EventSource, which can set no headers.

    acme.9f86d081884c7d65.1795000000.<HMAC-SHA256 of what is before, in hex>
    partner, 16 hex digits of the key's hash, the second in which it expires

It says nothing that its owner does not know, and nobody else can make one. Nothing is stored: a ticket is
good for as long as its key is in force, in every process that signs with the same secret.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from streamer.deliver.auth import Identity
from streamer.deliver.problems import unauthorized
from streamer.partners import Partners

PREFIX_DIGITS: Final = 16
DOMAIN: Final = b"streamer ticket 1\n"
"""Signed before the ticket, so that no other use of the secret could ever make one."""
SHAPE: Final = re.compile(r"([a-z0-9-]{1,40})\.([0-9a-f]{16})\.(\d{1,12})\.([0-9a-f]{64})", re.ASCII)
_SCHEME: Final = "sha256:"


@dataclass(frozen=True, slots=True)
class Tickets:
    """Signs and verifies."""

    secret: bytes

    @classmethod
    def of(cls, secret: str) -> "Tickets":
        """By the operator's secret; "": by one of this process, whose tickets end with it."""
        return cls(secret.encode() if secret else secrets.token_bytes(32))

    def issue(self, identity: Identity, expires_s: int) -> str:
        """For who showed the key itself. `expires_s`: Unix time."""
        signed = f"{identity.partner.name}.{_prefix(identity.key_hash)}.{expires_s}"
        return f"{signed}.{self._mac(signed)}"

    def verify(self, partners: Partners, ticket: str, now_s: float) -> Identity:
        """The identity that its key has now. Raises the same 401 for all that was never a ticket of ours."""
        match = SHAPE.fullmatch(ticket)
        signed = ticket.rpartition(".")[0]
        if match is None or not hmac.compare_digest(match[4], self._mac(signed)):
            raise unauthorized("this is no ticket of this server; get one by POST /v2/tickets with your key")
        if int(match[3]) <= now_s:
            raise unauthorized("this ticket has expired; get another by POST /v2/tickets")
        partner = partners.get(match[1])
        for key_hash in partner.keys if partner else ():
            if hmac.compare_digest(_prefix(key_hash), match[2]):
                assert partner is not None
                return Identity(partner, key_hash)
        raise unauthorized("the key of this ticket was revoked")

    def _mac(self, signed: str) -> str:
        return hmac.new(self.secret, DOMAIN + signed.encode(), hashlib.sha256).hexdigest()


def _prefix(key_hash: str) -> str:
    return key_hash.removeprefix(_SCHEME)[:PREFIX_DIGITS]
