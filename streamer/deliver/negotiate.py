"""Which of the encodings that we speak a client likes best: `Accept-Encoding`, as RFC 9110 reads it."""

from collections.abc import Iterable
from typing import Final, Literal

from streamer.deliver.problems import Problem

Encoding = Literal["identity", "gzip"]
GZIP: Final = ("gzip", "x-gzip")


def encoding_of(accept: str | None) -> Encoding:
    """Gzip where the client says that it takes it, unless it says that it likes identity better.

    A client that says nothing gets identity: every client can read that. So does one that names only
    encodings that we do not speak; only one that rules out identity as well is told 406.
    """
    liked = _liked(accept)
    if liked is None:
        raise Problem(406, "not_acceptable", "this feed is sent as it is (identity) or as gzip")
    return liked


def encoding_or_identity(accept: str | None) -> Encoding:
    """For what is no feed: who rules out everything gets it as it is, which RFC 9110 (12.5.3) allows, since
    most clients can still read that, and none could read less.
    """
    return _liked(accept) or "identity"


def _liked(accept: str | None) -> Encoding | None:
    said = dict(_weights(accept or ""))
    anything = said.get("*")
    gzip = max((said[name] for name in GZIP if name in said), default=anything or 0.0)
    identity = said.get("identity", anything)
    if gzip > 0 and gzip >= (identity or 0.0):
        return "gzip"
    return None if identity == 0 else "identity"


def _weights(accept: str) -> Iterable[tuple[str, float]]:
    for item in accept.split(","):
        coding, *parameters = (part.strip().lower() for part in item.split(";"))
        if coding:
            yield coding, quality(parameters)


def quality(parameters: Iterable[str]) -> float:
    """The `q` among the parameters of an item; one that is no number is no wish: 0."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return min(weight, 1.0) if weight >= 0 else 0.0
    return 1.0
