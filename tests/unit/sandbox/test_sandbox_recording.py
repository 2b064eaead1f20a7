"""A recording as wikis: the formulas that an independent script checks by."""

import gzip
import json
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import ConfigError
from streamer.sandbox.recording import Recording, content, load


def recent(title: str, *, wiki: str = "xxwiki", **more: object) -> dict[str, Any]:
    return {
        "meta": {"dt": "2026-01-01T00:00:10Z", "stream": "mediawiki.recentchange"},
        "type": "edit",
        "namespace": 0,
        "title": title,
        "user": "Somebody",
        "comment": "why",
        "timestamp": 1767225609,
        "bot": False,
        "server_name": f"{wiki}.example",
        "wiki": wiki,
    } | more


def edit(title: str, new: int, old: int = 0, **more: object) -> dict[str, Any]:
    return recent(title, revision={"old": old, "new": new}, minor=True, **more)


def moved(title: str, target: str, log_id: int, **more: object) -> dict[str, Any]:
    params = {"target": target, "noredir": "0"}
    return recent(
        title, type="log", log_id=log_id, log_type="move", log_action="move", log_params=params, **more
    )


def recording(*events: dict[str, Any]) -> Recording:
    return Recording(json.dumps(event).encode() for event in events)


def page_id(wiki: str, title: str) -> int:
    return int(sha256(f"{wiki}:{title}".encode()).hexdigest()[:7], 16) + 1


def test_content_and_metadata_follow_the_fixed_formulas() -> None:
    """Content, page id, size and SHA-1 can be computed by anyone; the rest is the event's."""
    wiki = recording(edit("A page", 55, 54)).wikis["xxwiki.example"]
    found = wiki.revision(55)
    assert found
    page, revision = found
    digest = sha256(b"xxwiki:55").hexdigest()
    text = "\n\n".join(["Revision 55 of xxwiki.", *[digest] * (1 + 55 % 40)])
    assert content("xxwiki", 55) == revision.text == text
    assert (revision.sha1, revision.size) == (sha1(text.encode()).hexdigest(), len(text))
    assert (page.identifier, page.title) == (page_id("xxwiki", "A page"), "A page")
    assert (revision.parent, revision.comment, revision.minor) == (54, "why", True)
    assert revision.edited_ms == 1767225609000
    assert revision.user
    assert revision.user.name == "Somebody"


def test_content_differs_per_wiki_and_revision() -> None:
    """So that a swap of two articles is caught."""
    texts = {content(wiki, revision) for wiki in ("awiki", "bwiki") for revision in range(100, 200)}
    assert len(texts) == 200


def test_the_current_revision_is_the_highest_of_its_page() -> None:
    """In whatever order the file has them."""
    wiki = recording(edit("P", 12, 11), edit("P", 9, 8), edit("Q", 99, 1)).wikis["xxwiki.example"]
    page = wiki.titled("P")
    assert page
    assert page.current.identifier == 12
    assert wiki.page(page.identifier) is page


def test_a_page_without_revisions_has_a_million_more_than_its_id() -> None:
    """A log event names a page of which no edit was recorded; by title, id and revision it is the same."""
    log = recent("File:X.png", type="log", log_id=5, log_type="upload", log_action="upload", namespace=6)
    wiki = recording(log).wikis["xxwiki.example"]
    page = wiki.titled("File:X.png")
    assert page
    assert page.current.identifier == 1_000_000 + page_id("xxwiki", "File:X.png")
    assert wiki.revision(page.current.identifier) == (page, page.current)


def test_a_title_made_by_a_move_has_the_id_of_the_page_that_moved() -> None:
    """Also along a chain of moves, in the order of the file."""
    wiki = recording(edit("A", 5), moved("A", "B", 1), moved("B", "C", 2), edit("C", 7, 5)).wikis[
        "xxwiki.example"
    ]
    expected = page_id("xxwiki", "A")
    for title in ("A", "B", "C"):
        page = wiki.titled(title)
        assert page
        assert (page.identifier, page.title, page.current.identifier) == (expected, title, 7)
    assert [entry.page_id for entry in wiki.logs] == [expected, expected]
    newest = wiki.page(expected)
    assert newest
    assert newest.title == "C"


def test_each_wiki_says_who_it_is_and_under_what_licence() -> None:
    """The database name is the real one, the licence differs by wiki."""
    wikis = recording(edit("A", 5, wiki="wikidatawiki"), edit("A", 5, wiki="faXwiki")).wikis
    data = wikis["wikidatawiki.example"].site
    other = wikis["faXwiki.example"].site
    assert (data.wiki, "CC0" in data.licence_name) == ("wikidatawiki", True)
    assert (other.wiki, "4.0" in other.licence_name) == ("faXwiki", True)


def test_page_ids_that_the_recording_tells_are_kept() -> None:
    """page_change and its siblings know the page id: another answer would be judged another page's."""
    event = {
        "meta": {"dt": "2026-01-01T00:00:00Z", "stream": "mediawiki.page_change.v1", "domain": "x.example"},
        "wiki_id": "xwiki",
        "page_change_kind": "edit",
        "page": {"page_id": 77, "page_title": "Some_page", "namespace_id": 0},
        "revision": {"rev_id": 8, "rev_parent_id": 7, "rev_dt": "2026-01-01T00:00:00Z", "comment": "c"},
    }
    page = recording(event).wikis["x.example"].page(77)
    assert page
    assert (page.title, page.current.identifier, page.current.parent) == ("Some page", 8, 7)


def test_what_is_no_event_is_kept_to_be_sent_and_a_removed_user_stays_removed() -> None:
    """The source must cope with broken lines; a missing user is told as hidden."""
    event = edit("A", 5)
    del event["user"]
    lines = [b"{broken", json.dumps(event).encode()]
    made = Recording(iter(lines))
    assert [one.data for one in made.events] == lines
    assert made.unreadable == 1
    found = made.wikis["xxwiki.example"].revision(5)
    assert found
    assert found[1].user is None


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".sse", ".sse.gz"])
def test_both_formats_are_read_plain_and_packed(tmp_path: Path, suffix: str) -> None:
    """The same event is found in each."""
    line = json.dumps(edit("A", 5)).encode()
    body = b":ok\n\nevent: message\nid: []\ndata: " + line + b"\n\n" if ".sse" in suffix else line + b"\n"
    file = tmp_path / f"recording{suffix}"
    file.write_bytes(gzip.compress(body) if suffix.endswith(".gz") else body)
    assert [one.data for one in load(file).events] == [line]


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("none.sse", None, "no such file"),
        ("empty.sse", b"", "holds no event"),
        ("text.txt", b"x", "must end in"),
        ("torn.sse.gz", gzip.compress(b"data: {}" * 99, mtime=0)[:20], "can't be read"),
        ("no.jsonl.gz", b"plain", "can't be read"),
        ("broken.jsonl", b"{\n{\n", "holds no event"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(
    tmp_path: Path, name: str, body: bytes | None, says: str
) -> None:
    """Bad input to `--recording` says which file and what is wrong with it."""
    file = tmp_path / name
    if body is not None:
        file.write_bytes(body)
    with pytest.raises(ConfigError, match=f"{name}.*{says}"):
        load(file)


def test_the_recording_of_2021_is_answered_for(shared_data: Path) -> None:
    """Every revision of 73 wikis, each by its server name; delete and move logs know their page."""
    made = load(shared_data / "recentchange-2021.sse")
    assert (len(made.events), made.unreadable, len(made.wikis)) == (1950, 0, 73)
    asked = 0
    for recorded in made.events:
        event = json.loads(recorded.data)
        wiki = made.wikis[event["server_name"]]
        assert wiki.site.wiki == event["wiki"]
        if event["type"] in ("edit", "new"):
            found = wiki.revision(event["revision"]["new"])
            assert found
            assert found[0].title == event["title"]
            assert found[1].text == content(event["wiki"], event["revision"]["new"])
            asked += 1
        elif event.get("log_type") in ("delete", "move"):
            entry = next(log for log in wiki.logs if log.identifier == event["log_id"])
            page = wiki.titled(event["title"])
            assert page
            assert entry.page_id == page.identifier
    assert asked == 1269
