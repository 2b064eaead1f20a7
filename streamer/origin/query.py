"""What is sent: the parameters of each kind of request. Pure."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from streamer.errors import AnswerInvalid
from streamer.origin.pagelists import PREFIXES, in_order
from streamer.origin.scheduler import By
from streamer.partners import PageList

Parameters = dict[str, str]

_VALUES: Final[dict[By, str]] = {"revision": "revids", "title": "titles", "page": "pageids"}
_BASE: Final[Parameters] = {"action": "query", "format": "json", "formatversion": "2"}
_PAGES: Final[Parameters] = {
    "prop": "revisions|info|pageprops|pageimages",
    "rvslots": "main",
    "rvprop": "ids|timestamp|flags|content|sha1|size|comment|user|userid|tags",
    "inprop": "protection",
    "ppprop": "wikibase_item|disambiguation|noindex",
    "piprop": "original",
}
_SITE: Final[Parameters] = {"meta": "siteinfo", "siprop": "general|namespaces|namespacealiases|rightsinfo"}

_NO_TITLE: Final = frozenset("|#\x1f")
"""These would cut a title or join two; no wiki has them in titles."""
_TITLE_MOST: Final = 300
"""Characters: a title has 255 bytes, and a namespace."""
_ID_MOST: Final = 2**63 - 1


def title_key(title: str) -> str:
    """As the API gives titles back: with spaces, in Unicode's composed form. Raises AnswerInvalid for what
    would ask for something else, or make a wiki refuse the whole batch.
    """
    key = unicodedata.normalize("NFC", title.replace("_", " ").strip())
    strange = any(character < " " or "\ud800" <= character <= "\udfff" for character in key)
    if not key or len(key) > _TITLE_MOST or strange or not _NO_TITLE.isdisjoint(key):
        raise AnswerInvalid("invalid_title")
    return key


def id_key(number: int) -> int:
    """Raises AnswerInvalid for a number that no revision or page has: one would spoil its batch."""
    if not 0 < number <= _ID_MOST:
        raise AnswerInvalid("invalid_id")
    return number


def site_only(*, maxlag: int) -> Parameters:
    """Who a wiki is and what time it has: the cheapest question there is."""
    return _with(_BASE | {"meta": "siteinfo", "siprop": "general"}, maxlag, with_site=False)


def pages(
    by: By,
    keys: Sequence[object],
    *,
    maxlag: int,
    with_site: bool,
    lists: Collection[PageList] = (),
) -> Parameters:
    """The revisions, or the current revision of the pages, with what is said of their pages. Redirects
    are not followed: a redirect is a page of its own.
    """
    parameters = _BASE | _PAGES | _keys(by, keys)
    if lists:
        parameters |= _listed(_PAGES["prop"], lists)
    return _with(parameters, maxlag, with_site=with_site)


def rest_of_lists(by: By, keys: Sequence[object], more: Mapping[PageList, str], *, maxlag: int) -> Parameters:
    """What is left of the lists of the same keys (the wiki counts by all of them), as the answer before said;
    with the newest revision of each page, and without any content again.
    """
    tokens = {f"{PREFIXES[name]}continue": token for name, token in more.items()}
    return _with(_BASE | _keys(by, keys) | _listed("info", more) | tokens, maxlag, with_site=False)


def _keys(by: By, keys: Sequence[object]) -> Parameters:
    return {_VALUES[by]: "|".join(map(str, keys))}


def _listed(prop: str, lists: Collection[PageList]) -> Parameters:
    """As many entries of each as the wiki gives at once."""
    names = in_order(lists)
    parameters = {"prop": "|".join((prop, *names))}
    parameters |= {f"{PREFIXES[name]}limit": "max" for name in names}
    return parameters | ({"rdprop": "title"} if "redirects" in names else {})


LOG_SLACK: Final = timedelta(seconds=2)


def log_entries(title: str, time_ms: int, *, maxlag: int, with_site: bool) -> Parameters:
    """The log entries of a title around an instant, newest first."""
    at = datetime.fromtimestamp(time_ms / 1000, UTC)
    parameters = _BASE | {
        "list": "logevents",
        "letitle": title,
        "leprop": "ids|title|type|timestamp",
        "lestart": f"{at + LOG_SLACK:%Y-%m-%dT%H:%M:%SZ}",
        "leend": f"{at - LOG_SLACK:%Y-%m-%dT%H:%M:%SZ}",
        "lelimit": "50",
    }
    return _with(parameters, maxlag, with_site=with_site)


LISTED_MOST: Final = 500
"""Of each list in one answer: what a client without further rights may ask for."""
MORE_NAMES: Final = ("rccontinue", "lecontinue", "continue")


def listing(
    since_s: int, until_s: int, more: Sequence[tuple[str, str]], *, maxlag: int, with_site: bool
) -> Parameters:
    """What changed and what was logged in these seconds, both included, oldest first: both lists by one
    request, and what is left of them by `more`, which is the answer's own word. Comments and users are named
    for the sake of the flags that say they are hidden; nobody reads what they are.
    """
    start = f"{datetime.fromtimestamp(since_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
    end = f"{datetime.fromtimestamp(until_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
    parameters = _BASE | {
        "list": "recentchanges|logevents",
        "rctype": "edit|new",
        "rcprop": "ids|title|timestamp|flags|sha1|user|comment",
        "rcdir": "newer",
        "rcstart": start,
        "rcend": end,
        "rclimit": str(LISTED_MOST),
        "leprop": "ids|title|type|timestamp|details",
        "ledir": "newer",
        "lestart": start,
        "leend": end,
        "lelimit": str(LISTED_MOST),
    }
    return _with(parameters | dict(more), maxlag, with_site=with_site)


def _with(parameters: Parameters, maxlag: int, *, with_site: bool) -> Parameters:
    if maxlag:
        parameters["maxlag"] = str(maxlag)
    return parameters | _SITE if with_site else parameters
