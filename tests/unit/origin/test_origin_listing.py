"""The two lists: what is read of them, from recorded answers of a real MediaWiki to invented ones."""

import json
from typing import Any

import pytest

from streamer.errors import AnswerInvalid
from streamer.model import Place, Visibility
from streamer.origin.answer import SiteInfo
from streamer.origin.listing import Edited, Listing, Logged, More, Span, read_listing
from streamer.origin.parse import AnotherWiki, ApiError, Asked, Reply, Unparsable

SITE = SiteInfo("testwiki", "h", "T", "en", "ltr", {}, "", "", "", "", "", 0)
ASKED = Asked("testwiki", "h", 7, SITE)
SPAN = Span(1_795_917_600, 1_795_921_200)
"""Of 2026-11-29T02:00:00Z to an hour later."""
AT = "2026-11-29T02:02:22Z"
AT_MS = 1_795_917_742_000

EDIT: dict[str, Any] = {
    "type": "edit", "ns": 0, "title": "G", "pageid": 7, "revid": 14, "old_revid": 13, "rcid": 16,
    "userhidden": True, "bot": False, "new": False, "minor": False, "timestamp": AT, "commenthidden": True,
    "sha1hidden": True, "suppressed": True,
}  # fmt: skip
MOVE: dict[str, Any] = {
    "logid": 5, "ns": 0, "title": "C", "pageid": 0, "logpage": 4, "type": "move", "action": "move",
    "params": {"target_ns": 1, "target_title": "Talk:D", "suppressredirect": True}, "timestamp": AT,
}  # fmt: skip
HIDE: dict[str, Any] = {
    "logid": 13, "ns": 0, "title": "G", "pageid": 7, "logpage": 7, "type": "delete", "action": "revision",
    "params": {
        "type": "revision", "ids": [13],
        "old": {"bitmask": 0, "content": False, "comment": False, "user": False, "restricted": False},
        "new": {"bitmask": 5, "content": True, "comment": False, "user": True, "restricted": False},
    }, "timestamp": AT,
}  # fmt: skip
DELETE: dict[str, Any] = {
    "logid": 7, "ns": 0, "title": "E", "pageid": 0, "logpage": 5, "params": {}, "type": "delete",
    "action": "delete", "timestamp": AT,
}  # fmt: skip
"""As MediaWiki 1.39 answered."""


def read(body: Any, before: More = (), asked: Asked = ASKED) -> Listing:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_listing(Reply(data), SPAN, before, asked)[0]


def listed(*rows: Any, logs: Any = ()) -> Any:
    return {"batchcomplete": True, "query": {"recentchanges": list(rows), "logevents": list(logs)}}


def test_a_suppressed_revision_says_what_is_hidden() -> None:
    """Suppressions are in no public log: their effect is."""
    assert read(listed(EDIT)).edits == (Edited(7, 14, "G", 0, AT_MS, hides=("text", "comment", "editor")),)


def test_a_new_page_and_a_bot() -> None:
    """What is shown hides nothing; comments and names are not even decoded."""
    row = EDIT | {"type": "new", "bot": True, "user": "Ann", "comment": "secret", "sha1": "00"}
    for name in ("userhidden", "commenthidden", "sha1hidden", "suppressed"):
        del row[name]
    [edited] = read(listed(row)).edits
    assert edited == Edited(7, 14, "G", 0, AT_MS, is_new=True, bot=True)
    assert "secret" not in repr(edited)
    assert "Ann" not in repr(edited)


def test_logs() -> None:
    """A move with its target, a deletion with its page, revisions with what is hidden of them."""
    move, hide, delete = read(listed(logs=[MOVE, HIDE, DELETE])).logs
    assert move == Logged(5, 4, "C", 0, AT_MS, "move", "move", target=Place("Talk:D", 1))
    assert hide == Logged(
        13, 7, "G", 0, AT_MS, "delete", "revision", revisions=(13,),
        visibility=Visibility(text=False, editor=False),
    )  # fmt: skip
    assert delete == Logged(7, 5, "E", 0, AT_MS, "delete", "delete")


def test_it_continues_with_the_answers_own_word() -> None:
    """Of either list or of both; other names would ask for something else."""
    more = {"rccontinue": "20261121073307|53", "continue": "-||logevents", "uselang": "de"}
    assert read(listed() | {"continue": more}).more == (
        ("continue", "-||logevents"),
        ("rccontinue", "20261121073307|53"),
    )
    assert read(listed()).more == ()


def test_a_continuation_that_leads_nowhere_is_none() -> None:
    """The same again, or one without end."""
    more = (("rccontinue", "1|1"),)
    with pytest.raises(AnswerInvalid, match="truncated"):
        read(listed() | {"continue": dict(more)}, more)
    with pytest.raises(AnswerInvalid, match="truncated"):
        read(listed() | {"continue": {"lecontinue": "1" * 600}})


@pytest.mark.parametrize(
    "over",
    [
        {"pageid": 0},
        {"pageid": -1},
        {"revid": 0},
        {"revid": 2**60},
        {"ns": 2**40},
        {"title": ""},
        {"title": "a|b"},
        {"title": "a\nb"},
        {"title": "x" * 400},
        {"title": "\x00"},
        {"timestamp": ""},
        {"timestamp": "yesterday"},
        {"timestamp": "9999-12-31T23:59:59Z"},
        {"timestamp": "0001-01-01T00:00:00+14:00"},
        {"timestamp": "2026-11-29T01:59:59Z"},
        {"timestamp": "2026-11-29T03:00:01Z"},
        {"type": "categorize"},
        {"type": "external"},
        {"type": "log"},
    ],
)
def test_what_can_be_no_edit_of_that_time_is_left_out(over: dict[str, Any]) -> None:
    """The rows beside it are read."""
    assert [edit.revision for edit in read(listed(EDIT | over, EDIT | {"revid": 15})).edits] == [15]


@pytest.mark.parametrize(
    "entry",
    [
        MOVE | {"params": {}},
        MOVE | {"params": []},
        MOVE | {"params": "x"},
        MOVE | {"params": {"target_title": "", "target_ns": 0}},
        MOVE | {"params": {"target_title": "D", "target_ns": "0"}},
        MOVE | {"logid": 0},
        MOVE | {"logid": -5},
        {key: value for key, value in MOVE.items() if key not in {"title", "params"}}
        | {"actionhidden": True},
        HIDE | {"params": {"type": "revision", "new": {}}},
        HIDE | {"params": {**HIDE["params"], "ids": []}},
        HIDE | {"params": {**HIDE["params"], "ids": ["x"]}},
        HIDE | {"params": {**HIDE["params"], "ids": [2**60]}},
        HIDE | {"params": {**HIDE["params"], "ids": list(range(1, 10_002))}},
        HIDE | {"params": {**HIDE["params"], "type": "oldimage"}},
    ],
)
def test_an_entry_that_cant_be_understood_is_left_out(entry: dict[str, Any]) -> None:
    """Hidden entries have neither title nor details; those beside it are read."""
    assert [log.log_id for log in read(listed(logs=[entry, DELETE])).logs] == [7]


def test_ids_may_be_text() -> None:
    """As older versions wrote them; each once."""
    entry = HIDE | {"params": {**HIDE["params"], "ids": {"0": "13", "2": "14", "3": 13}}}
    assert read(listed(logs=[entry])).logs[0].revisions == (13, 14)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"query":[]}',
        b'{"query":{"recentchanges":{}}}',
        b'{"query":{"recentchanges":[{"revid":"x"}]}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    """Another shape is not taken for an empty list."""
    with pytest.raises(Unparsable):
        read(body)


def test_errors_have_the_wikis_own_code() -> None:
    """They come with status 200."""
    with pytest.raises(ApiError) as caught:
        read({"error": {"code": "readapidenied", "info": "…"}})
    assert caught.value.code == "readapidenied"


def test_another_wiki_is_not_believed() -> None:
    """The host says of itself which wiki it is."""
    body = listed(EDIT)
    body["query"]["general"] = {"wikiid": "otherwiki"}
    with pytest.raises(AnotherWiki):
        read(body)
