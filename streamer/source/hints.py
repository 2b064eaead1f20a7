"""Metadata that comes for free: what page_change, tags and risk scores know of a revision."""

import re
from datetime import datetime
from typing import Final

from streamer.model import EditorFigures, Hint
from streamer.source import upstream as up
from streamer.source.checks import MAX_ID

BASE36: Final = re.compile(r"[0-9a-z]{1,31}")
MODEL: Final = re.compile(r"[a-z0-9-]{1,64}")
"""A model's name becomes the name of a field: revertrisk-language-agnostic, -multilingual, -wikidata."""
HEX: Final = re.compile(r"[0-9a-f]{40}")


def sha1_hex(sha1: str) -> str:
    """MediaWiki writes SHA-1s in base 36 (31 digits); "" for what is none."""
    if HEX.fullmatch(sha1):
        return sha1
    if not BASE36.fullmatch(sha1):
        return ""
    number = int(sha1, 36)
    return f"{number:040x}" if number < 1 << 160 else ""


def of_page_change(event: up.PageChange, wiki: str, page_id: int, upstream_ms: int) -> Hint:
    revision = event.revision
    before = (event.prior_state.revision if event.prior_state else None) or up.RevisionEntity()
    main = revision.content_slots.main if revision.content_slots else None
    editor = revision.editor or event.performer
    revert = revision.revert or up.Revert()
    return Hint(
        wiki=wiki,
        page_id=page_id,
        revision=revision.rev_id or 0,
        upstream_ms=upstream_ms,
        parent=revision.rev_parent_id or 0,
        sha1=sha1_hex(revision.rev_sha1),
        parent_sha1=sha1_hex(before.rev_sha1),
        content_model=main.content_model if main else "",
        size=revision.rev_size,
        parent_size=before.rev_size,
        parent_edited_ms=_ms(before.rev_dt),
        editor=_figures(editor) if editor and revision.is_editor_visible is not False else None,
        reverted_oldest=_id(revert.rev_reverted_oldest_id),
        reverted_newest=_id(revert.rev_reverted_newest_id),
        restored=_id(revert.rev_original_id),
    )


def of_tags(event: up.RevisionEvent, wiki: str, page_id: int, revision: int, upstream_ms: int) -> Hint:
    """An absent list is an empty one, before as after."""
    return Hint(
        wiki=wiki,
        page_id=page_id,
        revision=revision,
        upstream_ms=upstream_ms,
        parent=event.rev_parent_id or 0,
        sha1=sha1_hex(event.rev_sha1),
        content_model=event.rev_content_model,
        size=event.rev_len,
        tags=event.tags,
        previous_tags=event.prior_state.tags if event.prior_state else (),
    )


def of_prediction(
    event: up.PredictionChange, wiki: str, page_id: int, revision: int, upstream_ms: int
) -> Hint | None:
    """None for a model that doesn't say how likely a revert is (topics, quality)."""
    classification = event.predicted_classification
    risk = classification.probabilities.get("true")
    if risk is None or not 0 <= risk <= 1 or not MODEL.fullmatch(classification.model_name):
        return None
    return Hint(
        wiki=wiki,
        page_id=page_id,
        revision=revision,
        upstream_ms=upstream_ms,
        parent=event.revision.rev_parent_id or 0,
        scores={classification.model_name: risk},
    )


def _figures(user: up.UserEntity) -> EditorFigures:
    return EditorFigures(
        edit_count=user.edit_count,
        groups=user.groups,
        registered_ms=_ms(user.registration_dt),
        is_bot=user.is_bot,
        is_temporary=user.is_temp,
    )


def _id(number: int | None) -> int:
    """0 for what is none."""
    return number if number is not None and 0 < number <= MAX_ID else 0


def _ms(moment: datetime | None) -> int | None:
    return round(moment.timestamp() * 1_000) if moment else None
