"""What an article says of a revision beside its text: tags, size, reverts, scores."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from streamer.enrich.article import Stamp, article_of
from streamer.enrich.commit import Batch, Finished, Memory
from streamer.enrich.hinting import Hinting
from streamer.enrich.memory import Contents, Hints
from streamer.enrich.outcome import Answered, Work
from streamer.enrich.signs import reverts_of
from streamer.model import Hint, Reverts, Topics, Visibility, encode_value

Make = Callable[..., Any]


def version(change: Any, found: Any, hint: Hint | None = None) -> dict[str, Any]:
    article = article_of(change, found, Visibility(), Stamp(1, 1), hint=hint)
    told = msgspec.json.decode(encode_value(article), type=dict[str, Any])["version"]
    assert isinstance(told, dict)
    return told


def test_tags_are_those_of_the_answer_and_those_that_the_stream_told(change: Make, found: Make) -> None:
    """Either may be ahead of the other; a tag that was taken off is off."""
    answer = found(5, 1, tags=("visualeditor", "wrong"))
    hint = Hint("testwiki", 1, 5, 0, tags=("visualeditor", "mw-reverted"), previous_tags=("wrong",))
    told = version(change("edit", 5), answer, hint)
    assert told["tags"] == ["visualeditor", "mw-reverted"]
    assert told["is_reverted"] is True
    bare = version(change("edit", 5), answer, Hint("testwiki", 1, 5, 0, parent_size=3))
    assert bare["tags"] == ["visualeditor", "wrong"]
    assert "is_reverted" not in bare


def test_how_much_a_revision_changes(change: Make, found: Make) -> None:
    """By the hint, or by the lengths of the change that made it; else it is not known. A page's first
    revision adds all that it has, also where the page is restated.
    """
    answer = found(5, 1, size=100)
    assert version(change("edit", 5, parent_size=30), answer)["size_change"] == 70
    hinted = Hint("testwiki", 1, 5, 0, parent_size=130)
    assert version(change("edit", 5, parent_size=30), answer, hinted)["size_change"] == -30
    assert version(change("refresh", page_id=1), answer, hinted)["size_change"] == -30
    assert "size_change" not in version(change("refresh", page_id=1, parent_size=30), answer)
    assert "size_change" not in version(change("edit", 5), answer)
    assert version(change("create", 5), found(5, 1, size=100, parent=0))["size_change"] == 100
    assert version(change("refresh", page_id=1), found(5, 1, size=0, parent=0))["size_change"] == 0


def told(*hints: Hint) -> Hint:
    """What is joined of the last one's revision."""
    memory = Hints()
    hinting = Hinting(memory, Contents())
    for hint in hints:
        hinting.read(hint)
    joined = memory.of("testwiki", hints[-1].revision)
    assert joined
    return joined


def edit(revision: int, content: str, **over: Any) -> Hint:
    return Hint("testwiki", 1, revision, 0, parent=revision - 10, sha1=content * 40, **over)


def test_a_revert_says_what_it_undoes(change: Make, found: Make) -> None:
    """As the wiki told it; or by its content, which the page had before."""
    by_wiki = told(edit(40, "a", reverted_oldest=20, reverted_newest=30, restored=10))
    assert version(change("edit", 40), found(40, 1), by_wiki)["reverts"] == {
        "oldest_identifier": 20,
        "newest_identifier": 30,
        "restored_identifier": 10,
    }
    by_content = told(edit(10, "a"), edit(20, "b"), edit(30, "c"), edit(40, "a"))
    assert version(change("edit", 40), found(40, 1), by_content)["reverts"] == {
        "oldest_identifier": 20,
        "newest_identifier": 30,
        "restored_identifier": 10,
    }
    by_parent = told(edit(30, "b", parent_sha1="a" * 40), edit(40, "a"))
    assert version(change("edit", 40), found(40, 1), by_parent)["reverts"] == {
        "oldest_identifier": 30,
        "newest_identifier": 30,
        "restored_identifier": 20,
    }
    assert "reverts" not in version(change("edit", 40), found(40, 1), told(edit(30, "a"), edit(40, "a")))
    assert "reverts" not in version(change("edit", 40), found(40, 1), told(edit(40, "a")))


@pytest.mark.parametrize("by_wiki", [False, True], ids=["by content", "by the wiki"])
def test_what_was_reverted_and_comes_again(change: Make, found: Make, *, by_wiki: bool) -> None:
    """It says so, and what it takes away is not told for reverted; what undoes it then is a revert as any."""
    good, bad, memory = "a", "b", Hints()
    hinting = Hinting(memory, Contents())

    def read(revision: int, content: str, restored: int = 0) -> tuple[Any, Any]:
        wiki = {"reverted_oldest": revision - 10, "reverted_newest": revision - 10, "restored": restored}
        signal = hinting.read(edit(revision, content, **(wiki if by_wiki and restored else {})))
        told = version(change("edit", revision), found(revision, 1), memory.of("testwiki", revision))
        return told.get("reverts"), signal and signal.by

    def undone(revision: int, **more: Any) -> dict[str, Any]:
        at = revision - 10
        return {"oldest_identifier": at, "newest_identifier": at, "restored_identifier": at - 10, **more}

    assert read(10, good) == (None, None)
    assert read(20, bad) == (None, None)
    assert read(30, good, 10) == (undone(30), 30)
    for again in (40, 60):
        assert read(again, bad, again - 20) == (undone(again, is_repeated=True), None)
        assert read(again + 10, good, again - 10) == (undone(again + 10), again + 10)
    hinting.read(Hint("testwiki", 1, 40, 1, sha1=bad * 40, tags=("mw-undo",)))
    assert reverts_of(memory.of("testwiki", 40)) == Reverts(30, 30, 20, True)


def test_what_was_restored_is_found_where_the_wiki_does_not_say(change: Make, found: Make) -> None:
    """An undo names its ends alone. What the page's content says must go with them, and what its tags say
    later takes nothing away.
    """
    undo = edit(40, "a", reverted_newest=30)
    known = told(edit(20, "a"), edit(30, "b"), undo, Hint("testwiki", 1, 40, 1, tags=("mw-undo",)))
    assert version(change("edit", 40), found(40, 1), known)["reverts"] == {
        "oldest_identifier": 30,
        "newest_identifier": 30,
        "restored_identifier": 20,
    }
    other = edit(40, "a", reverted_oldest=10, reverted_newest=30)
    unlike = told(edit(20, "a"), edit(30, "b"), other)
    assert "restored_identifier" not in version(change("edit", 40), found(40, 1), unlike)["reverts"]


SECRET = Visibility(text=False, editor=False, comment=False)


@pytest.mark.parametrize(
    ("what", "told", "is_out"),
    [
        ({"kind": "visibility", "revision": 10, "visibility": SECRET}, {}, False),
        ({"kind": "refresh", "replays": "visibility", "revision": 10, "visibility": SECRET}, {}, False),
        ({"kind": "edit", "revision": 11, "parent_size": 44}, {10: SECRET}, False),
        ({"kind": "refresh"}, {10: SECRET}, False),
        ({"kind": "edit", "revision": 11, "parent_size": 44}, {9: SECRET}, True),
        ({"kind": "edit", "revision": 11, "parent_size": 44}, {10: Visibility(comment=False)}, True),
        ({"kind": "visibility", "revision": 10, "visibility": Visibility(editor=False)}, {}, True),
    ],
    ids=["hidden now", "repaired", "an edit upon it", "restated", "another", "its comment", "its editor"],
)
def test_what_tells_of_a_hidden_text_is_left_out(
    change: Make, found: Make, what: dict[str, Any], told: dict[int, Visibility], *, is_out: bool
) -> None:
    """SHA-1 and size of the revision before, and what gives its size away; that there was one stays."""
    memory = Memory()
    for revision, visibility in told.items():
        memory.hidden.told("testwiki", revision, visibility)
    memory.hints.add(Hint("testwiki", 5, 11, 0, parent=10, parent_sha1="b" * 40, parent_size=44, restored=9))
    batch = Batch(memory, Topics(), 10, last_sequence=0, counts={}, now_us=1)
    made = Work(0, change(**{"title": "A", **what}), 1, outcome=Answered(found(11, 5, size=50)))
    batch.add(Finished(made))
    (value,) = [record.value for record in batch.records if record.topic == Topics().articles]
    article = msgspec.json.decode(value or b"")
    known = {"size": {"value": 44, "unit_text": "B"}, "sha1": "b" * 40} if is_out else {}
    assert article["previous_version"] == {"identifier": 10, **known}
    assert article["version"].get("size_change") == (6 if is_out else None)


def test_scores_are_named_as_enterprise_names_them(change: Make, found: Make) -> None:
    """The language-agnostic model's is `revertrisk`; its twins keep their names."""
    scores = {
        "revertrisk-language-agnostic": 0.25,
        "revertrisk-multilingual": 0.75,
        "revertrisk-wikidata": 0.5,
    }
    joined = told(*(Hint("testwiki", 1, 5, 0, scores={model: risk}) for model, risk in scores.items()))
    assert version(change("edit", 5), found(5, 1), joined)["scores"] == {
        "revertrisk": {"prediction": False, "probability": {"true": 0.25, "false": 0.75}},
        "revertrisk-multilingual": {"prediction": True, "probability": {"true": 0.75, "false": 0.25}},
        "revertrisk-wikidata": {"prediction": True, "probability": {"true": 0.5, "false": 0.5}},
    }
    assert "scores" not in version(change("edit", 5), found(5, 1), Hint("testwiki", 1, 5, 0, tags=()))
