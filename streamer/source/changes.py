"""One upstream event → what it tells: changes, a hint, or the reason why it tells nothing.

    stream                  gives                                                     unless owned elsewhere
    recentchange            edit → edit, new → create, log → `log_actions`          each kind has one owner
    page_change             move (+ create of the redirect left), delete, undelete → restore,
                            visibility_change → visibility; and a hint for every create and edit
    revision-visibility-…   visibility
    revision-tags-change    a hint
    …prediction_change      a hint

Pure, and total: whatever bytes come, the answer is a `Told`. Nothing in it is a comment or a name.
"""

from functools import lru_cache
from typing import Final, Literal

from streamer.admission import Family, Rules, family_of
from streamer.errors import EventInvalid
from streamer.source import upstream as up
from streamer.source.checks import decode, may_be_ms, must_be_utf8
from streamer.source.page_change import of_page_change
from streamer.source.recentchange import of_recentchange
from streamer.source.revisions import of_prediction, of_revision
from streamer.source.told import Drop, Told, reason_of

USUAL: Final = b'{"$schema":"/mediawiki/recentchange/1.'
"""How nearly every event begins: then it is decoded once, as what it is, without a look before."""

MAX_NAME_CHARS: Final = 128
"""Of `meta.id`, a UUID: it travels in a header."""

FAMILY_OF_SCHEMA: Final[dict[str, Family]] = {
    "/mediawiki/recentchange": "recentchange",
    "/mediawiki/page/change": "page_change",
    "/mediawiki/revision/visibility-change": "visibility",
    "/mediawiki/revision/tags-change": "tags",
    "/mediawiki/page/prediction_classification_change": "prediction",
}


def interpret(data: bytes, rules: Rules) -> Told:
    """`data` is one event's JSON."""
    try:
        if data.startswith(USUAL):
            family: Family | Literal["unknown"] = "recentchange"
        else:
            family = _family(data)
    except EventInvalid as error:
        return Told((), reason_of(error), "unknown")
    meta = up.Envelope()
    try:
        if not data.isascii():
            must_be_utf8(data)
        match family:
            case "recentchange":
                event = decode(up.RECENTCHANGE, data)
                meta = event.meta
                must_be_genuine(meta)
                records = of_recentchange(event, rules)
            case "page_change":
                change = decode(up.PAGE_CHANGE, data)
                meta = change.meta
                must_be_genuine(meta)
                records = of_page_change(change, rules)
            case "visibility" | "tags":
                revision = decode(up.REVISION_EVENT, data)
                meta = revision.meta
                must_be_genuine(meta)
                records = of_revision(revision, family, rules)
            case "prediction":
                prediction = decode(up.PREDICTION, data)
                meta = prediction.meta
                must_be_genuine(meta)
                records = of_prediction(prediction, rules)
            case _:
                meta = decode(up.PEEK, data).meta
                must_be_genuine(meta)
                raise EventInvalid("stream_unknown")  # noqa: TRY301 - one arm like its neighbours
    except Drop as drop:
        return Told((), drop.reason, family, topic_of(meta), may_be_ms(meta.dt), meta.id)
    except EventInvalid as error:
        return Told((), reason_of(error), family, topic_of(meta), may_be_ms(meta.dt), meta.id)
    return Told(records, "", family, topic_of(meta), may_be_ms(meta.dt), meta.id)


def must_be_genuine(meta: up.Envelope) -> None:
    if meta.domain == "canary":
        raise Drop("canary")
    if len(meta.id) > MAX_NAME_CHARS:
        raise EventInvalid("out_of_range")


def topic_of(meta: up.Envelope) -> str:
    return meta.topic if meta.partition == 0 else f"{meta.topic}/{meta.partition}"


def _family(data: bytes) -> Family | Literal["unknown"]:
    """By schema; by topic or stream for those that carry none (older recordings)."""
    peek = decode(up.PEEK, data)
    if not peek.schema:
        return family_of(peek.meta.stream or peek.meta.topic) or "unknown"
    family, major = _schema(peek.schema)
    if family is None:
        return "unknown"
    if major > 1 or (major < 1 and family != "recentchange"):
        raise EventInvalid("schema_major")
    return family


@lru_cache(maxsize=256)
def _schema(uri: str) -> tuple[Family | None, int]:
    """`/mediawiki/page/change/1.12.0` → page_change, 1."""
    path, _, version = uri.rpartition("/")
    major = version.partition(".")[0]
    return FAMILY_OF_SCHEMA.get(path), int(major) if major.isdecimal() and len(major) < 10 else 0
