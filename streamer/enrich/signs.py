"""What is known and thought of a revision beside its text: tags, how much it changes, what it reverts, how
likely it is reverted itself. Pure; of the wiki's answer and of hints, as far as they were told in time.
"""

from msgspec import UNSET
from msgspec.structs import replace

from streamer.model import Change, Hint, Maybe, Reverts
from streamer.origin.answer import RevisionAnswer


def tags_of(revision: RevisionAnswer, hint: Hint | None) -> list[str]:
    """The wiki's answer, with what the stream told before it (a replica lags) or after it."""
    if hint is None or hint.tags is None:
        return list(revision.tags)
    taken_off = set(hint.previous_tags or ()) - set(hint.tags)
    return [tag for tag in dict.fromkeys((*revision.tags, *hint.tags)) if tag not in taken_off]


def without_parents_text(change: Change, hint: Hint | None) -> tuple[Change, Hint | None]:
    """Where the text of the revision before is hidden: its SHA-1 betrays it where it is short, its size says
    something of it.
    """
    bare = replace(hint, parent_sha1="", parent_size=None) if hint else None
    return replace(change, parent_size=None), bare


def size_change_of(revision: RevisionAnswer, size_before: int | None) -> int | Maybe:
    """A page's first revision adds all that it has."""
    if not revision.parent:
        return revision.size
    return UNSET if size_before is None else revision.size - size_before


def reverts_of(hint: Hint | None) -> Reverts | Maybe:
    if hint is None or not (hint.reverted_oldest or hint.reverted_newest):
        return UNSET
    return Reverts(
        hint.reverted_oldest or hint.reverted_newest,
        hint.reverted_newest or hint.reverted_oldest,
        hint.restored or UNSET,
        True if hint.restored_reverted else UNSET,
    )


def scores_of(hint: Hint | None) -> dict[str, object] | Maybe:
    """Enterprise's shape: `revertrisk {prediction, probability {true, false}}`."""
    if hint is None or not hint.scores:
        return UNSET
    scores: dict[str, object] = {}
    for model, probability in hint.scores.items():
        name = "revertrisk" if model == "revertrisk-language-agnostic" else model
        scores[name] = {
            "prediction": probability >= 0.5,
            "probability": {"true": probability, "false": 1.0 - probability},
        }
    return scores
