"""The events of all streams: Wikimedia's schemas, and what each must and must not hold."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streamer.sandbox.editor import hire
from streamer.sandbox.events import base36
from streamer.sandbox.world import World, WorldOptions

START_MS = 1_790_000_000_000
SCHEMAS = {
    "recentchange": "mediawiki/recentchange",
    "mediawiki.page_change.v1": "mediawiki/page/change",
    "mediawiki.revision-visibility-change": "mediawiki/revision/visibility-change",
    "mediawiki.revision-tags-change": "mediawiki/revision/tags-change",
    "mediawiki.page_revert_risk_prediction_change.v1": "mediawiki/page/prediction_classification_change",
}


@pytest.fixture(scope="module")
def story() -> dict[str, list[Any]]:
    """Four minutes of all streams, canaries left out, with the time that a topic adds."""
    world = World(WorldOptions(42, pages_per_wiki=30), START_MS)
    hire(world, START_MS, 2.0)
    events: dict[str, list[Any]] = {stream: [] for stream in SCHEMAS}
    for emission in world.advance(START_MS + 240_000):
        if len(emission.event) > 2:
            event: Any = copy.deepcopy(emission.event)
            event["meta"] |= {"stream": emission.stream, "dt": "2026-01-01T00:00:00Z"}
            events[emission.stream].append(event)
    return events


@pytest.mark.parametrize("stream", SCHEMAS)
def test_events_are_valid_by_wikimedias_schemas(
    story: dict[str, list[Any]], shared_data: Path, stream: str
) -> None:
    """The schemas of page_change are of 1.2: what 1.4 and 1.12 added is taken off first."""
    file = shared_data / "schemas" / SCHEMAS[stream] / "latest.yaml"
    schema = yaml.safe_load(file.read_text("utf-8"))
    schema.pop("$schema")
    validator = jsonschema.Draft7Validator(schema)
    assert story[stream]
    for event in copy.deepcopy(story[stream]):
        prior = event.get("prior_state", {}).get("revision", {})
        revision = event.get("revision", {})
        for user in (event.get("performer", {}), revision.get("editor", {}), prior.get("editor", {})):
            user.pop("wiki_id", None)
        revision.pop("revert", None)
        problems = [error.message for error in validator.iter_errors(event)]
        assert problems == [], event


def test_page_change_has_the_keys_of_the_live_stream(story: dict[str, list[Any]], shared_data: Path) -> None:
    """An edit has nothing that the recorded one hasn't, but for `revert`."""
    lines = (shared_data / "page_change-2026.sse").read_text("utf-8").splitlines()
    known = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
    for event in story["mediawiki.page_change.v1"]:
        if event["page_change_kind"] == "edit":
            assert event.keys() <= known.keys()
            assert event["page"].keys() <= known["page"].keys()
            assert event["performer"].keys() <= known["performer"].keys()
            assert event["revision"].keys() - {"revert"} <= known["revision"].keys()
            assert event["prior_state"]["revision"].keys() <= known["revision"].keys()


def test_a_recent_change_holds_what_is_always_there(story: dict[str, list[Any]]) -> None:
    """And never a page id, tags, a SHA-1 or a content model."""
    always = "type namespace title comment timestamp user bot server_url server_name server_script_path wiki"
    of_type = {
        "edit": {"minor", "revision", "length", "patrolled"},
        "new": {"minor", "revision", "length", "patrolled"},
        "categorize": set(),
        "log": {"log_id", "log_type", "log_action", "log_params", "log_action_comment"},
    }
    for event in story["recentchange"]:
        assert set(always.split()) | of_type[event["type"]] <= event.keys()
        assert not {"page_id", "tags", "sha1", "content_model"} & event.keys()
        if event["type"] == "new":
            assert event["revision"].keys() == event["length"].keys() == {"new"}


def test_log_params_have_their_forms(story: dict[str, list[Any]]) -> None:
    """An empty list for a deletion, strings for ids and bits, "0" and "1" for the redirect."""
    by_action = {
        (e["log_type"], e["log_action"]): e["log_params"] for e in story["recentchange"] if e["type"] == "log"
    }
    assert by_action["delete", "delete"] == []
    assert by_action["delete", "restore"].keys() == {"count"}
    assert by_action["delete", "revision"].keys() == {"type", "ids", "ofield", "nfield"}
    assert by_action["move", "move"]["noredir"] in ("0", "1")
    assert by_action["protect", "protect"]["details"][0]["type"] == "edit"
    assert by_action["move", "move_redir"]
    assert by_action["delete", "delete_redir"] == []


def test_page_change_has_underscores_and_every_kind(story: dict[str, list[Any]]) -> None:
    """Titles are database keys there; a move's prior state holds what differs."""
    events = story["mediawiki.page_change.v1"]
    assert {event["page_change_kind"] for event in events} == {
        "create",
        "edit",
        "move",
        "delete",
        "undelete",
        "visibility_change",
    }
    assert all(" " not in event["page"]["page_title"] for event in events)
    assert any("_" in event["page"]["page_title"] for event in events)
    for event in events:
        if event["page_change_kind"] == "move":
            assert event["prior_state"]["page"]["page_title"] != event["page"]["page_title"]


def test_a_visibility_change_of_the_newest_tells_only_the_flags_that_changed(
    story: dict[str, list[Any]],
) -> None:
    """In page_change; and what is hidden isn't told in the same breath."""
    changes = [e for e in story["mediawiki.page_change.v1"] if e["page_change_kind"] == "visibility_change"]
    assert changes
    for event in changes:
        revision, prior = event["revision"], event["prior_state"]["revision"]
        assert prior
        assert all(revision[flag] != before for flag, before in prior.items())
        assert revision["is_content_visible"] or not {"rev_sha1", "content_slots"} & revision.keys()
        assert revision["is_editor_visible"] or "editor" not in revision
        assert revision["is_comment_visible"] or "comment" not in revision


def test_a_suppression_names_nobody_and_quotes_nothing(story: dict[str, list[Any]]) -> None:
    """No performer, no comment, no digest."""
    events = [e for e in story["mediawiki.revision-visibility-change"] if "performer" not in e]
    assert events
    for event in events:
        assert not {"comment", "rev_sha1", "rev_len"} & event.keys()


def test_every_event_has_its_own_id_and_shares_the_request(story: dict[str, list[Any]]) -> None:
    """`meta.id` is unique over all streams; the events of one action have one `request_id`."""
    metas = [event["meta"] for events in story.values() for event in events]
    assert len({meta["id"] for meta in metas}) == len(metas)
    assert len({meta["request_id"] for meta in metas}) < len(metas)


def test_digests_are_as_mediawiki_stores_them() -> None:
    """Base 36, 31 characters; the empty page's is well known."""
    assert base36("da39a3ee5e6b4b0d3255bfef95601890afd80709") == "phoiac9h4m842xq45sp7s6u21eteeq1"
    assert len(base36("0" * 39 + "1")) == 31
