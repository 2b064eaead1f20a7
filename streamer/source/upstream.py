"""The events of Wikimedia's streams, as far as we read them: what isn't declared is skipped unparsed.

Typed where a value is used and nowhere else, because upstream's shapes drift: new fields come, `id` is
absent or null, `log_params` is a list, an object or a string, ids exceed 2^31. Comments and names are
not even declared, so that none can travel on.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

Moment = Annotated[datetime, Meta(tz=True)]


class Envelope(Struct, frozen=True, gc=False):
    """`meta`: what every event has, in most of its fields."""

    id: str = ""
    dt: Moment | None = None
    domain: str = ""
    stream: str = ""
    topic: str = ""
    partition: int = 0


class Pair(Struct, frozen=True, gc=False):
    old: int | None = None
    new: int | None = None


class RecentChange(Struct, frozen=True):
    schema: str = field(name="$schema", default="")
    meta: Envelope = Envelope()
    type: str | int | None = None
    namespace: int | None = None
    title: str | None = None
    timestamp: int | None = None
    user: msgspec.Raw | UnsetType = UNSET
    """Only whether it is there: it is removed from redacted pages' events."""
    bot: bool | None = None
    minor: bool | None = None
    length: Pair | None = None
    revision: Pair | None = None
    server_name: str | None = None
    wiki: str | None = None
    log_id: int | None = None
    log_type: str | None = None
    log_action: str | None = None
    log_params: msgspec.Raw | UnsetType = UNSET


class LogParams(Struct, frozen=True, gc=False):
    """Those that matter, of the logs that matter (move, delete/revision)."""

    target: str | None = None
    noredir: str | int | None = None
    type: str | None = None
    ids: list[int | str] | dict[str, int | str] | None = None
    """PHP writes a list with gaps as an object."""
    nfield: int | str | None = None


class PageEntity(Struct, frozen=True, gc=False):
    page_id: int | None = None
    page_title: str | None = None
    namespace_id: int | None = None
    is_redirect: bool | None = None


class UserEntity(Struct, frozen=True):
    edit_count: int | None = None
    groups: tuple[str, ...] | None = None
    is_bot: bool | None = None
    is_temp: bool | None = None
    registration_dt: Moment | None = None


class Slot(Struct, frozen=True, gc=False):
    content_model: str = ""


class Slots(Struct, frozen=True, gc=False):
    main: Slot | None = None


class Revert(Struct, frozen=True, gc=False):
    rev_reverted_oldest_id: int | None = None
    rev_reverted_newest_id: int | None = None
    rev_original_id: int | bool | None = None
    """What was restored, where that is exact. PHP's own word for "none" is false."""


class RevisionEntity(Struct, frozen=True):
    rev_id: int | None = None
    rev_parent_id: int | None = None
    rev_dt: Moment | None = None
    rev_sha1: str = ""
    rev_size: int | None = None
    is_minor_edit: bool | None = None
    is_content_visible: bool | None = None
    is_editor_visible: bool | None = None
    is_comment_visible: bool | None = None
    editor: UserEntity | None = None
    content_slots: Slots | None = None
    revert: Revert | None = None


class PriorState(Struct, frozen=True):
    page: PageEntity | None = None
    revision: RevisionEntity | None = None


class PageChange(Struct, frozen=True):
    meta: Envelope = Envelope()
    page_change_kind: str | None = None
    dt: Moment | None = None
    wiki_id: str | None = None
    page: PageEntity = PageEntity()
    performer: UserEntity | None = None
    """Absent from what was suppressed."""
    revision: RevisionEntity = RevisionEntity()
    prior_state: PriorState | None = None
    created_redirect_page: PageEntity | None = None


class Flags(Struct, frozen=True, gc=False):
    text: bool
    user: bool
    comment: bool


class Tags(Struct, frozen=True, gc=False):
    tags: tuple[str, ...] = ()


class RevisionEvent(Struct, frozen=True):
    """revision-visibility-change and revision-tags-change share their body."""

    meta: Envelope = Envelope()
    database: str | None = None
    page_id: int | None = None
    page_title: str | None = None
    page_namespace: int | None = None
    page_is_redirect: bool | None = None
    rev_id: int | None = None
    rev_parent_id: int | None = None
    rev_sha1: str = ""
    rev_len: int | None = None
    rev_minor_edit: bool | None = None
    rev_content_model: str = ""
    performer: msgspec.Raw | UnsetType = UNSET
    visibility: Flags | None = None
    tags: tuple[str, ...] = ()
    prior_state: Tags | None = None


class Classification(Struct, frozen=True):
    model_name: str = ""
    probabilities: dict[str, float] = {}


class PredictionChange(Struct, frozen=True):
    meta: Envelope = Envelope()
    wiki_id: str | None = None
    page: PageEntity = PageEntity()
    revision: RevisionEntity = RevisionEntity()
    predicted_classification: Classification = Classification()


class Peek(Struct, frozen=True):
    """Enough to know what an event is."""

    schema: str = field(name="$schema", default="")
    meta: Envelope = Envelope()


RECENTCHANGE: Final = msgspec.json.Decoder(RecentChange)
PAGE_CHANGE: Final = msgspec.json.Decoder(PageChange)
REVISION_EVENT: Final = msgspec.json.Decoder(RevisionEvent)
PREDICTION: Final = msgspec.json.Decoder(PredictionChange)
PEEK: Final = msgspec.json.Decoder(Peek)
LOG_PARAMS: Final = msgspec.json.Decoder(LogParams)
