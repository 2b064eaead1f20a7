"""Which deed a real MediaWiki tells on which stream, and in which shape."""

import asyncio
import copy
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from harness.mediawiki import DEEDS, Pages, Told, WikiFarm
from harness.mediawiki.deed import FOREIGN

pytestmark = [
    pytest.mark.xdist_group("wiki-events"),
    pytest.mark.timeout(300),
]  # it is the fixture that takes long

WIKI = "enproof"
PREPARED: Mapping[str, tuple[str, ...]] = {
    "create": (),
    "create_foreign": (),
    "import_new": (),
    "merge": (),
    "upload": (),
    "upload_again": ("upload",),
    "undelete": ("create", "edit", "delete"),
    "undelete_suppressed": ("create", "edit", "delete_suppressed"),
    "show": ("create", "edit", "hide_text"),
}
"""What was done to the only page there is; an edited page where it isn't said."""

NEW = ["page_change create", "recentchange new"]
EDIT = ["page_change edit", "recentchange edit"]
REVERT = ["page_change edit revert", "recentchange edit"]
LEFT = ["page_change create", "tags +mw-new-redirect"]
"""The redirect that a move leaves: page_change has it twice, recentchange never."""

TELLS: Mapping[str, list[str]] = {
    "create": NEW,
    "create_foreign": NEW,
    "create_big": NEW,
    "create_redirect": [*NEW, "tags +mw-new-redirect"],
    "edit": EDIT,
    "edit_minor": EDIT,
    "edit_as_bot": EDIT,
    "edit_anonymously": EDIT,
    "edit_nothing": [],
    "edit_empty": [*EDIT, "tags +mw-blank"],
    "edit_category": [*EDIT, "recentchange categorize"],
    "edit_twice_in_a_second": [*EDIT, *EDIT],
    "rollback": [*EDIT, *REVERT, "tags +mw-rollback", "tags +mw-reverted"],
    "undo": [*REVERT, "tags +mw-undo"],
    # the text is the same, so MediaWiki's hook takes it for a null edit
    "change_model": ["recentchange edit", "recentchange contentmodel/change", "tags +mw-contentmodelchange"],
    "import_new": ["recentchange import/upload"],
    "import_onto": ["recentchange import/upload"],
    "upload": ["page_change create", "recentchange upload/upload"],
    "upload_again": ["recentchange upload/overwrite"],
    "move": ["page_change move", "recentchange move/move", *LEFT],
    "move_without_redirect": ["page_change move", "recentchange move/move"],
    "move_there_and_back": [
        *["page_change move", "recentchange move/move", *LEFT],
        *["page_change delete", "recentchange delete/delete_redir"],
        *["page_change move", "recentchange move/move_redir", *LEFT],
    ],
    # nothing at all says that the source is a redirect now, nor that the target has older revisions
    "merge": [*NEW, *NEW, "recentchange merge/merge"],
    "delete": ["page_change delete", "recentchange delete/delete"],
    "undelete": ["page_change undelete", "recentchange delete/restore"],
    "undelete_onto": [
        *["page_change delete", "recentchange delete/delete"],
        *NEW,
        "recentchange delete/restore",
    ],
    "delete_suppressed": ["page_change delete"],
    "undelete_suppressed": ["page_change undelete", "recentchange delete/restore"],
    "protect": ["recentchange protect/protect"],
    "hide_text": ["visibility -text", "recentchange delete/revision"],
    "hide_comment": [
        "visibility -comment",
        "page_change visibility_change",
        "recentchange delete/revision",
    ],
    "hide_user": ["visibility -user", "page_change visibility_change", "recentchange delete/revision"],
    "hide_all": ["visibility -comment-text-user", "recentchange delete/revision"],
    "suppress": ["visibility -comment-text-user"],
    "suppress_newest": ["visibility -comment-user", "page_change visibility_change"],
    "show": ["visibility +text", "recentchange delete/revision"],
}

SCHEMAS = {
    "recentchange": "mediawiki/recentchange",
    "mediawiki.page_change.v1": "mediawiki/page/change",
    "mediawiki.revision-visibility-change": "mediawiki/revision/visibility-change",
    "mediawiki.revision-tags-change": "mediawiki/revision/tags-change",
}

Story = Mapping[str, list[Told]]


@pytest.fixture(scope="module")
def story(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """What each deed told, done once to a page of its own."""
    return asyncio.run(_told(tmp_path_factory.mktemp("events") / "farm", origin))


async def _told(folder: Path, origin: Path) -> Story:
    told: dict[str, list[Told]] = {}
    rng = random.Random(1)
    async with WikiFarm(folder, origin=origin) as farm:
        for name in DEEDS:
            titles = [f"{name} {number}" for number in range(3)]
            farm.pages[WIKI] = Pages(
                farm.wikis[WIKI], [*titles, *(FOREIGN if name == "create_foreign" else ())]
            )
            for before in PREPARED.get(name, ("create", "edit")):
                assert await farm.do(before, WIKI, rng), (name, before, farm.refused)
            await farm.settled()
            heard = len(farm.relay.heard)
            assert await farm.do(name, WIKI, rng), (name, farm.refused)
            await farm.settled()
            told[name] = farm.relay.heard[heard:]
    return told


def in_words(told: Told) -> str:
    event: dict[str, Any] = told.event
    match told.stream:
        case "recentchange" if event["type"] == "log":
            return f"recentchange {event['log_type']}/{event['log_action']}"
        case "recentchange":
            return f"recentchange {event['type']}"
        case "mediawiki.page_change.v1":
            revert = " revert" if "revert" in event["revision"] else ""
            return f"page_change {event['page_change_kind']}{revert}"
        case "mediawiki.revision-visibility-change":
            return f"visibility {_changed(event['prior_state']['visibility'], event['visibility'])}"
        case _:
            before = dict.fromkeys(event["prior_state"]["tags"], True)
            return f"tags {_changed(before, dict.fromkeys(event['tags'], True))}"


def _changed(before: dict[str, bool], after: dict[str, bool]) -> str:
    names = sorted(before.keys() | after.keys())
    changed = [name for name in names if before.get(name, False) != after.get(name, False)]
    return "".join(f"{'+' if after.get(name) else '-'}{name}" for name in changed)


def test_every_deed_has_a_row() -> None:
    """And every row a deed."""
    assert TELLS.keys() == DEEDS.keys()


@pytest.mark.parametrize("name", TELLS)
def test_a_deed_tells_exactly_this(story: Story, name: str) -> None:
    """On which streams, and what each says it is."""
    told = sorted(map(in_words, story[name]))
    expected = TELLS[name]
    if name == "edit_twice_in_a_second":  # a second that ended in between makes it try again
        expected = expected * (len(told) // len(expected))
    assert told == sorted(expected)


@pytest.mark.parametrize("stream", SCHEMAS)
def test_what_the_wiki_tells_is_valid_by_wikimedias_schemas(
    story: Story, shared_data: Path, stream: str
) -> None:
    """The schema of page_change is of 1.2: what 1.4 and 1.12 added is taken off first."""
    file = shared_data / "schemas" / SCHEMAS[stream] / "latest.yaml"
    schema = yaml.safe_load(file.read_text("utf-8"))
    schema.pop("$schema")
    validator = jsonschema.Draft7Validator(schema)
    events = [told.event for heard in story.values() for told in heard if told.stream == stream]
    assert events
    for told in events:
        event: dict[str, Any] = copy.deepcopy(told)
        prior = event.get("prior_state", {}).get("revision", {})
        revision = event.get("revision", {})
        if stream == "mediawiki.page_change.v1":
            revision.pop("revert", None)
            for user in (event.get("performer", {}), revision.get("editor", {}), prior.get("editor", {})):
                user.pop("wiki_id", None)
        assert [error.message for error in validator.iter_errors(event)] == [], event


def of(story: Story, name: str, stream: str) -> list[dict[str, Any]]:
    return [told.event for told in story[name] if told.stream == stream]


PAGE_CHANGE = "mediawiki.page_change.v1"
VISIBILITY = "mediawiki.revision-visibility-change"


def test_every_event_says_what_a_reader_of_the_streams_needs(story: Story) -> None:
    """Its own id, its wiki's host, and of recentchange's rows those fields that are always there."""
    events = [told.event for heard in story.values() for told in heard]
    identifiers: list[str] = []
    for event in events:
        meta: Any = event["meta"]
        assert meta["domain"] == "en.proof.example"
        assert meta["uri"].startswith("https://en.proof.example/wiki/")
        assert meta["topic"] == f"eqiad.{meta['stream']}"
        identifiers.append(meta["id"])
    assert len(set(identifiers)) == len(identifiers)
    always = "type namespace title comment timestamp user bot server_url server_name server_script_path wiki"
    for name in story:
        for event in of(story, name, "recentchange"):
            assert set(always.split()) <= event.keys()
            assert None not in event.values()
            if event["type"] == "new":
                assert event["revision"].keys() == event["length"].keys() == {"new"}


def test_a_move_tells_what_differed_and_the_redirect_it_left(story: Story) -> None:
    """The old title with underscores, no namespace where that is the same."""
    [moved] = [event for event in of(story, "move", PAGE_CHANGE) if event["page_change_kind"] == "move"]
    before = moved["prior_state"]["page"]
    assert before.keys() == {"page_title"}
    left = moved["created_redirect_page"]
    assert left["page_title"] == before["page_title"] != moved["page"]["page_title"]
    assert left["page_id"] != moved["page"]["page_id"]
    assert left["is_redirect"]
    assert moved["revision"]["rev_parent_id"] == moved["prior_state"]["revision"]["rev_id"]
    [plain] = of(story, "move_without_redirect", PAGE_CHANGE)
    assert "created_redirect_page" not in plain


def test_a_suppression_names_nobody_and_quotes_nothing(story: Story) -> None:
    """Neither of a page nor of a revision; an ordinary deletion names who did it."""
    [deleted] = of(story, "delete_suppressed", PAGE_CHANGE)
    assert "performer" not in deleted
    hidden = {"rev_sha1", "rev_size", "comment", "editor", "content_slots"}
    assert not hidden & deleted["revision"].keys()
    assert deleted["prior_state"]["revision"] == dict.fromkeys(
        ("is_content_visible", "is_editor_visible", "is_comment_visible"), True
    )
    for name in ("suppress", "suppress_newest"):
        for event in of(story, name, VISIBILITY):
            assert not {"performer", "comment", "rev_sha1", "rev_len"} & event.keys()
    [ordinary] = of(story, "delete", PAGE_CHANGE)
    assert ordinary["performer"]["user_text"] == "Steward"
    assert ordinary["page"]["revision_count"] == 2


def test_what_is_hidden_is_not_told_in_the_same_breath(story: Story) -> None:
    """page_change's prior state holds only the flags that changed."""
    [comment] = of(story, "hide_comment", PAGE_CHANGE)
    assert comment["prior_state"] == {"revision": {"is_comment_visible": True}}
    assert "comment" not in comment["revision"]
    [user] = of(story, "hide_user", PAGE_CHANGE)
    assert user["prior_state"] == {"revision": {"is_editor_visible": True}}
    assert "editor" not in user["revision"]
    [text] = of(story, "hide_text", VISIBILITY)
    assert "rev_sha1" not in text


def test_a_restored_page_keeps_its_id_and_revisions(story: Story) -> None:
    """And onto a page that was written anew page_change says nothing."""
    [back] = of(story, "undelete", PAGE_CHANGE)
    assert back["page_change_kind"] == "undelete"
    assert back["revision"]["rev_parent_id"] == back["revision"]["rev_id"] - 1


def test_an_edit_that_reverts_says_what(story: Story) -> None:
    """The range of revisions; here the one before it."""
    for name in ("rollback", "undo"):
        change = of(story, name, PAGE_CHANGE)[-1]
        before = change["revision"]["rev_parent_id"]
        assert change["revision"]["revert"] == {
            "rev_reverted_oldest_id": before,
            "rev_reverted_newest_id": before,
        }


def test_two_edits_in_one_second_have_one_time(story: Story) -> None:
    """Only the numbers of their revisions tell which is the later one."""
    first, second = of(story, "edit_twice_in_a_second", "recentchange")[-2:]
    assert first["timestamp"] == second["timestamp"]
    assert first["revision"]["new"] == second["revision"]["old"]
