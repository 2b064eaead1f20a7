"""Whatever JSON comes, the source neither fails nor lets a name or comment through."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamer.admission import Rules, owners_of
from streamer.config import SourceSettings
from streamer.model import decode_change, encode_value
from streamer.source.changes import FAMILY_OF_SCHEMA, interpret

ALL = Rules(owners_of(SourceSettings().streams))
RC_ONLY = Rules(owners_of(("recentchange",)))
SECRET = "Ein-Geheimnis"

ODD = st.sampled_from(
    [None, True, 0, -1, 2**70, 1.5, "", "0", "x" * 2_000, [], ["1"], {}, {"a": 1}, "2026-01-01T00:00:00Z",
     "canary", "edit", "log", "move", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "\ud7ff\u2028"]
)  # fmt: skip
META = {
    "id": "i",
    "dt": "2026-01-01T00:00:00Z",
    "domain": "x.example.org",
    "stream": "mediawiki.x",
    "topic": "eqiad.mediawiki.x",
    "partition": 0,
}
PAGE = {"page_id": 5, "page_title": "A_b", "namespace_id": 0, "is_redirect": False}
REVISION = {
    "rev_id": 42,
    "rev_dt": "2026-01-01T00:00:00Z",
    "rev_sha1": "43hl3p8qspvdwh19k7nzfmmj9axisr1",
    "is_content_visible": True,
    "is_editor_visible": True,
    "is_comment_visible": True,
    "editor": {"groups": ["user"], "edit_count": 4, "registration_dt": "2026-01-01T00:00:00Z"},
    "content_slots": {"main": {"content_model": "wikitext"}},
    "revert": {"rev_reverted_oldest_id": 1, "rev_reverted_newest_id": 2},
    "old": 1,
    "new": 2,
}
EVERYTHING: dict[str, object] = {
    "meta": META,
    "type": "log",
    "namespace": 0,
    "title": "A",
    "timestamp": 1,
    "length": {"old": 1, "new": 2},
    "revision": REVISION,
    "server_name": "x.example.org",
    "wiki": "xwiki",
    "log_id": 3,
    "log_type": "move",
    "log_action": "move",
    "log_params": {"target": "B", "noredir": "0", "type": "revision", "ids": ["1"], "nfield": "9"},
    "page_change_kind": "move",
    "dt": "2026-01-01T00:00:00Z",
    "wiki_id": "xwiki",
    "page": PAGE,
    "performer": {"is_bot": False},
    "prior_state": {"page": PAGE, "revision": REVISION, "tags": ["x"]},
    "created_redirect_page": PAGE,
    "database": "xwiki",
    "page_id": 5,
    "page_title": "A_b",
    "page_namespace": 0,
    "rev_id": 42,
    "visibility": {"text": True, "user": True, "comment": False},
    "tags": ["x"],
    "predicted_classification": {"model_name": "m", "probabilities": {"true": 0.5}},
}
"""One object that has the fields of all streams, so that any of them can be made odd."""
KINDS = st.sampled_from(
    [
        {},
        {"type": "edit", "page_change_kind": "edit"},
        {"log_type": "delete", "log_action": "revision", "page_change_kind": "delete"},
        {"page_change_kind": "visibility_change"},
        {"type": "new", "page_change_kind": "undelete"},
    ]
)


def paths(tree: object, here: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(tree, dict):
        return [here]
    return [here, *(path for key, inner in tree.items() for path in paths(inner, (*here, key)))]


def put(tree: object, path: tuple[str, ...], value: object) -> object:
    if not path or not isinstance(tree, dict):
        return value if not path else tree
    return tree | {path[0]: put(tree.get(path[0]), path[1:], value)}


PATHS = st.sampled_from([path for path in paths(EVERYTHING) if path])


@given(
    KINDS,
    st.lists(st.tuples(PATHS, ODD), max_size=3),
    st.sampled_from([*FAMILY_OF_SCHEMA, "/other", ""]),
    st.sampled_from(["1.0.0", "1.0.0", "2", "x"]),
)
def test_total(
    kind: dict[str, object], odd: list[tuple[tuple[str, ...], object]], schema: str, version: str
) -> None:
    """Any object gives records or a reason, never both, never an exception."""
    event: object = EVERYTHING | kind
    for path, value in odd:
        event = put(event, path, value)
    assert isinstance(event, dict)
    data = msgspec.json.encode({"$schema": f"{schema}/{version}", **event})
    for rules in (ALL, RC_ONLY):
        told = interpret(data, rules)
        assert bool(told.records) != bool(told.dropped)
        for record in told.records:
            assert decode_change(encode_value(record)) == record


@given(st.binary(max_size=60))
def test_total_on_bytes(data: bytes) -> None:
    """Any bytes give a reason."""
    assert interpret(data, ALL).dropped


@given(st.sampled_from(["edit", "new", "log"]), st.sampled_from(["protect", "move", "delete"]))
def test_no_person_and_no_comment(kind: str, log_type: str) -> None:
    """Nothing that a person wrote about the change, and no name of one, is in what is appended."""
    event = {
        "$schema": "/mediawiki/recentchange/1.0.0",
        "meta": {"id": "i", "dt": "2026-01-01T00:00:00Z", "stream": "mediawiki.recentchange"},
        "type": kind,
        "log_type": log_type,
        "log_action": log_type,
        "log_params": {"target": "B", "noredir": "0", "reason": SECRET},
        "namespace": 0,
        "title": "A",
        "timestamp": 1,
        "user": SECRET,
        "comment": SECRET,
        "parsedcomment": SECRET,
        "log_action_comment": SECRET,
        "revision": {"old": 1, "new": 2},
        "server_name": "x.example.org",
        "wiki": "xwiki",
    }
    told = interpret(msgspec.json.encode(event), RC_ONLY)
    assert told.records
    assert SECRET.encode() not in msgspec.json.encode(told.records)
