"""Who is asking: `Authorization: Bearer <key>`, and nothing else.

A key in a URL ends up in histories and in the logs of every proxy, so it is refused there, loudly.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from streamer.deliver.problems import Problem, unauthorized
from streamer.partners import KEY_PREFIX, Partner, Partners, authenticate, hash_key

KEY_PARAMETERS: Final = frozenset({"key", "apikey", "api_key", "access_token", "token", "authorization"})
MAX_KEY_CHARS: Final = 512


@dataclass(frozen=True, slots=True)
class Identity:
    """A partner, and the hash of the key it showed: the stream ends when that key does."""

    partner: Partner
    key_hash: str

    def still_valid(self, partners: Partners) -> bool:
        partner = partners.get(self.partner.name)
        return partner is not None and any(hmac.compare_digest(key, self.key_hash) for key in partner.keys)


def identify(partners: Partners, authorization: str | None) -> Identity:
    """Raises a 401 that says how to ask, never whether a partner exists."""
    if not authorization:
        raise unauthorized("show your key as `Authorization: Bearer <key>`")
    scheme, _, secret = authorization.strip(" \t").partition(" ")
    secret = secret.strip(" \t")
    # other than ASCII is never a key of ours, and undecodable bytes would be nobody's to hash
    if scheme.lower() != "bearer" or not secret.isascii() or not secret or len(secret) > MAX_KEY_CHARS:
        raise unauthorized("the Authorization header must read `Bearer <key>`")
    partner = authenticate(partners, secret)
    if partner is None:
        raise unauthorized("this key is not known, or was revoked")
    return Identity(partner, hash_key(secret))


def refuse_keys_in_query(query: Iterable[tuple[str, str]]) -> None:
    for name, value in query:
        if name.lower() in KEY_PARAMETERS or KEY_PREFIX in name or KEY_PREFIX in value:
            raise Problem(
                400,
                "key_in_query",
                "keys go into the Authorization header, never into a URL; "
                "this one may stand in logs by now: rotate it",
            )
