"""What becomes of every kind of upstream event, on invented ones; then all that were recorded."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.admission import Rules, owners_of
from streamer.config import AdmitSettings, Settings, SourceSettings
from streamer.model import (
    Change,
    Hint,
    Place,
    Visibility,
    identifier_derived,
    identifier_of_event,
    identifier_of_revision,
)
from streamer.source.changes import interpret
from streamer.source.told import Told
from streamer.sse import Decoder, Frame

ALL = Rules(owners_of(SourceSettings().streams))
RC_ONLY = Rules(owners_of(("recentchange",)))
PAGE_ONLY = Rules(owners_of(("mediawiki.page_change.v1",)))
MS = 1_767_225_600_500


def meta(stream: str, **more: object) -> dict[str, object]:
    return {
        "id": "11111111-2222-3333-4444-555555555555",
        "dt": "2026-01-01T00:00:00.500Z",
        "domain": "x.example.org",
        "stream": stream,
        "topic": f"codfw.{stream}",
        "partition": 0,
    } | more


def rc(**more: object) -> dict[str, Any]:
    return {
        "$schema": "/mediawiki/recentchange/1.0.1",
        "meta": meta("mediawiki.recentchange"),
        "id": 3_213_449_330,
        "type": "edit",
        "namespace": 1,
        "title": "Talk:A b",
        "comment": "words",
        "timestamp": 1_767_225_599,
        "user": "~2026-12881-95",
        "bot": True,
        "minor": True,
        "length": {"old": 10, "new": 12},
        "revision": {"old": 4_000_000_000, "new": 4_000_000_001},
        "server_name": "x.example.org",
        "wiki": "xwiki",
        "filter": "17",
    } | more


def log(log_type: str, log_action: str, params: object = (), **more: object) -> dict[str, Any]:
    event = rc(type="log", log_id=77, log_type=log_type, log_action=log_action, log_params=params, **more)
    for key in ("length", "revision", "minor", "id"):
        event.pop(key, None)
    return event


def pc(kind: str, **more: object) -> dict[str, Any]:
    return {
        "$schema": "/mediawiki/page/change/1.12.0",
        "meta": meta("mediawiki.page_change.v1"),
        "page_change_kind": kind,
        "changelog_kind": "update",
        "dt": "2026-01-01T00:00:00Z",
        "wiki_id": "xwiki",
        "page": {"page_id": 5, "page_title": "Talk:A_b", "namespace_id": 1, "is_redirect": False},
        "performer": {"user_text": "Admin", "is_bot": False, "groups": ["sysop"], "edit_count": 3},
        "revision": {
            "rev_id": 42,
            "rev_parent_id": 41,
            "rev_dt": "2025-12-31T00:00:00Z",
            "rev_sha1": "43hl3p8qspvdwh19k7nzfmmj9axisr1",
            "rev_size": 7,
            "is_minor_edit": False,
            "is_content_visible": True,
            "is_editor_visible": True,
            "is_comment_visible": True,
            "content_slots": {"main": {"content_model": "wikitext", "content_size": 7}},
        },
    } | more


def tell(event: object, rules: Rules = ALL) -> Told:
    return interpret(msgspec.json.encode(event), rules)


def change_of(event: object, rules: Rules = ALL) -> Change:
    (record,) = tell(event, rules).records
    assert isinstance(record, Change)
    return record


def outcome(told: Told) -> str:
    """The reason for nothing, or what it became."""
    return told.dropped or "+".join(
        (f"{r.kind}:{r.cause}" if r.cause else r.kind) if isinstance(r, Change) else "hint"
        for r in told.records
    )


# ── recentchange ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        ("edit", "edit"),
        ("new", "create"),
        ("categorize", "categorize"),
        ("external", "external"),
        ("142", "type_unknown"),
        (142, "type_unknown"),
        (None, "missing_field"),
    ],
)
def test_types_of_recentchange(kind: object, becomes: str) -> None:
    """The type is no closed set: what isn't known is dropped under one reason."""
    assert outcome(tell(rc(type=kind))) == becomes


def test_an_edit() -> None:
    """All that a row says is taken over; its identifier is that of the revision."""
    assert change_of(rc()) == Change(
        identifier=identifier_of_revision("xwiki", 4_000_000_001),
        kind="edit",
        wiki="xwiki",
        server_name="x.example.org",
        title="Talk:A b",
        namespace=1,
        edited_ms=1_767_225_599_000,
        upstream_ms=MS,
        revision=4_000_000_001,
        parent=4_000_000_000,
        bot=True,
        minor=True,
        size=12,
        parent_size=10,
        stream="mediawiki.recentchange",
        upstream_id="11111111-2222-3333-4444-555555555555",
    )


def test_a_new_page_with_nulls() -> None:
    """`old` may be null or absent."""
    event = rc(type="new", revision={"old": None, "new": 9}, length={"new": 3})
    change = change_of(event)
    assert (change.kind, change.parent, change.size, change.parent_size) == ("create", 0, 3, None)


@pytest.mark.parametrize("event", [rc(), log("protect", "protect")])
def test_a_removed_user_is_told(event: dict[str, Any]) -> None:
    """The stream removes the user from redacted pages' events."""
    assert not change_of(event).user_removed
    del event["user"]
    assert change_of(event).user_removed


@pytest.mark.parametrize(
    ("log_type", "log_action", "params", "by_all", "by_recentchange_alone"),
    [
        ("delete", "delete", [], "other_owner", "delete"),
        ("delete", "delete_redir", [], "other_owner", "delete:overwritten"),
        ("delete", "delete_redir2", [], "other_owner", "delete:overwritten"),
        ("delete", "restore", {"count": {"revisions": 2}}, "refresh:undelete", "restore:undelete"),
        ("delete", "revision", {"type": "revision", "ids": ["1"], "ofield": "0", "nfield": "9"},
         "other_owner", "visibility"),
        ("delete", "revision", {"type": "oldimage", "ids": ["1"], "nfield": 1}, "other_owner", "log_ignored"),
        ("delete", "event", {"ids": [23], "ofield": 0, "nfield": 6}, "log_ignored", "log_ignored"),
        ("move", "move", {"target": "B", "noredir": "1"}, "other_owner", "move"),
        ("move", "move", {"target": "B", "noredir": "0"}, "other_owner", "move+create:redirect"),
        ("move", "move_redir", {"target": "B", "noredir": "0"}, "other_owner", "move+create:redirect"),
        ("protect", "protect", {"details": []}, "refresh:protect", "refresh:protect"),
        ("protect", "modify", {}, "refresh:protect", "refresh:protect"),
        ("protect", "unprotect", [], "refresh:protect", "refresh:protect"),
        ("protect", "move_prot", ["Old"], "refresh:protect", "refresh:protect"),
        ("import", "upload", {"count": 1}, "refresh:import", "refresh:import"),
        ("import", "interwiki", {"count": 1}, "refresh:import", "refresh:import"),
        ("merge", "merge", {"dest": "C", "mergepoint": "2"}, "refresh:merge", "refresh:merge"),
        ("upload", "upload", {"img_sha1": "x"}, "refresh:upload", "refresh:upload"),
        ("upload", "overwrite", {}, "refresh:upload", "refresh:upload"),
        ("upload", "revert", {}, "refresh:upload", "refresh:upload"),
        ("contentmodel", "change", {}, "refresh:contentmodel", "refresh:contentmodel"),
        ("contentmodel", "new", {}, "refresh:contentmodel", "refresh:contentmodel"),
        ("pagelang", "pagelang", {}, "refresh:pagelang", "refresh:pagelang"),
        ("create", "create", [], "log_ignored", "log_ignored"),
        ("abusefilter", "hit", {"filter": 3}, "log_ignored", "log_ignored"),
        ("block", "block", "a string", "log_ignored", "log_ignored"),
        ("newusers", "create", {"userid": 4}, "log_ignored", "log_ignored"),
        ("pagetriage-curation", "reviewed", [], "log_ignored", "log_ignored"),
        ("patrol", "patrol", {}, "log_ignored", "log_ignored"),
        ("review", "approve", [1, 2, "20260101000000"], "log_ignored", "log_ignored"),
        ("rights", "rights", {}, "log_ignored", "log_ignored"),
        ("managetags", "create", {}, "log_ignored", "log_ignored"),
        ("tag", "update", {"revid": 1}, "log_ignored", "log_ignored"),
        ("thanks", "thank", [], "log_ignored", "log_ignored"),
        ("brandnew", "thing", [], "log_unknown", "log_unknown"),
        ("delete", "brandnew", [], "log_unknown", "log_unknown"),
    ],
)  # fmt: skip
def test_log_actions(
    log_type: str, log_action: str, params: object, by_all: str, by_recentchange_alone: str
) -> None:
    """What becomes of each log action, with all streams and with recentchange alone."""
    event = log(log_type, log_action, params)
    assert outcome(tell(event)) == by_all
    assert outcome(tell(event, RC_ONLY)) == by_recentchange_alone


def test_a_move_in_the_log() -> None:
    """The change stands at the new place and names the old; the redirect is a change of its own, whose
    identifier follows from the move's.
    """
    params = {"target": "User:C_d", "noredir": "0"}
    move, redirect = tell(log("move", "move", params), RC_ONLY).records
    assert isinstance(move, Change)
    assert isinstance(redirect, Change)
    assert (move.title, move.namespace, move.previous) == ("User:C d", 2, Place("Talk:A b", 1))
    assert move.log_id == 77
    assert (redirect.kind, redirect.title, redirect.namespace) == ("create", "Talk:A b", 1)
    assert redirect.is_redirect
    assert redirect.page_id == redirect.revision == 0
    assert redirect.identifier == identifier_derived(move.identifier, "redirect")


@pytest.mark.parametrize("ids", [["7", "8"], [7, 8], {"0": "7", "2": 8}])
def test_hidden_revisions_in_the_log(ids: object) -> None:
    """One change a revision, with identifiers of their own; the bits are 1 text, 2 comment, 4 user,
    8 restricted, as text or number.
    """
    event = log("delete", "revision", {"type": "revision", "ids": ids, "ofield": "0", "nfield": "13"})
    changes = [record for record in tell(event, RC_ONLY).records if isinstance(record, Change)]
    assert [change.revision for change in changes] == [7, 8]
    assert {change.identifier for change in changes} == {
        identifier_of_event(f"{event['meta']['id']}|{revision}") for revision in (7, 8)
    }
    assert changes[0].visibility == Visibility(text=False, editor=False, comment=True)
    assert changes[0].suppressed


def test_without_a_meta_id_the_log_id_names_it() -> None:
    """Identifiers exist for feeds that send no `meta.id`; without either the event is of no use."""
    event = log("protect", "protect")
    event["meta"] = meta("mediawiki.recentchange", id="")
    assert change_of(event).identifier == change_of(event).identifier
    event["log_id"] = None
    assert outcome(tell(event)) == "missing_field"


# ── page_change ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "by_all", "alone", "beside_recentchange"),
    [
        ("create", "hint", "create+hint", "hint"),
        ("edit", "hint", "edit+hint", "hint"),
        ("move", "move", "move", "other_owner"),
        ("delete", "delete", "delete", "other_owner"),
        ("undelete", "restore", "restore", "other_owner"),
        ("visibility_change", "other_owner", "visibility", "other_owner"),
        ("brandnew", "type_unknown", "type_unknown", "type_unknown"),
    ],
)
def test_kinds_of_page_change(kind: str, by_all: str, alone: str, beside_recentchange: str) -> None:
    """Each kind has one owner, whatever is configured."""
    assert outcome(tell(pc(kind))) == by_all
    assert outcome(tell(pc(kind), PAGE_ONLY)) == alone
    assert outcome(tell(pc(kind), RC_ONLY)) == beside_recentchange


def test_a_move_with_redirect() -> None:
    """The prior state holds only what differs; the redirect left behind comes with its page id."""
    event = pc(
        "move",
        prior_state={"page": {"page_title": "Talk:Old_place"}},
        created_redirect_page={"page_id": 6, "page_title": "Talk:Old_place", "namespace_id": 1},
    )
    move, redirect = tell(event).records
    assert isinstance(move, Change)
    assert isinstance(redirect, Change)
    assert (move.title, move.page_id, move.revision) == ("Talk:A b", 5, 42)
    assert move.previous == Place("Talk:Old place", 1)
    assert (redirect.title, redirect.page_id, redirect.cause) == ("Talk:Old place", 6, "redirect")


def test_a_move_between_namespaces_only() -> None:
    """A namespace that changed alone is a move too."""
    change = change_of(pc("move", prior_state={"page": {"namespace_id": 0}}))
    assert change.previous == Place("Talk:A b", 0)


def test_a_suppressed_delete() -> None:
    """It lacks performer, SHA-1 and size."""
    assert not change_of(pc("delete")).suppressed
    event = pc("delete", revision={"rev_id": 42, "is_content_visible": False, "is_editor_visible": False})
    del event["performer"]
    change = change_of(event)
    assert change.suppressed
    assert (change.kind, change.page_id, change.revision, change.size) == ("delete", 5, 42, None)


def test_a_hint_of_an_edit() -> None:
    """Everything that comes for free, in our units; SHA-1s from base 36 to hex; no name, no comment."""
    event = pc(
        "edit",
        prior_state={
            "revision": {"rev_sha1": "0" * 31, "rev_size": 3, "rev_dt": "2025-12-30T00:00:00Z"},
        },
    )
    event["revision"] |= {
        "editor": {
            "user_text": "Somebody",
            "edit_count": 9,
            "groups": ["user"],
            "is_temp": True,
            "registration_dt": "2020-01-01T00:00:00Z",
        },
        "revert": {"rev_reverted_oldest_id": 39, "rev_reverted_newest_id": 41, "rev_original_id": 38},
    }
    (hint,) = tell(event).records
    assert isinstance(hint, Hint)
    assert (hint.wiki, hint.page_id, hint.revision, hint.parent) == ("xwiki", 5, 42, 41)
    assert int(hint.sha1, 16) == int("43hl3p8qspvdwh19k7nzfmmj9axisr1", 36)
    assert re.fullmatch("[0-9a-f]{40}", hint.sha1)
    assert (hint.parent_sha1, hint.size, hint.parent_size) == ("0" * 40, 7, 3)
    assert hint.content_model == "wikitext"
    assert (hint.reverted_oldest, hint.reverted_newest, hint.restored) == (39, 41, 38)
    assert hint.editor
    assert (hint.editor.edit_count, hint.editor.groups, hint.editor.is_temporary) == (9, ("user",), True)
    assert hint.editor.registered_ms == 1_577_836_800_000
    assert b"Somebody" not in msgspec.json.encode(hint)


# ── visibility, tags, predictions ──────────────────────────────────────────────────────────────


def revision_event(stream: str, **more: object) -> dict[str, Any]:
    return {
        "$schema": f"/mediawiki/revision/{stream}/1.0.0",
        "meta": meta(f"mediawiki.revision-{stream}"),
        "database": "xwiki",
        "page_id": 5,
        "page_title": "User:A_b",
        "page_namespace": 2,
        "page_is_redirect": False,
        "rev_id": 42,
        "rev_parent_id": 41,
        "rev_sha1": "43hl3p8qspvdwh19k7nzfmmj9axisr1",
        "rev_len": 7,
        "performer": {"user_text": "Admin"},
    } | more


def test_a_visibility_change() -> None:
    """It is the owner where it is configured; what is visible now; suppressed without a performer."""
    event = revision_event("visibility-change", visibility={"text": False, "user": True, "comment": False})
    change = change_of(event)
    assert (change.kind, change.page_id, change.revision) == ("visibility", 5, 42)
    assert change.visibility == Visibility(text=False, editor=True, comment=False)
    assert (change.title, change.suppressed) == ("User:A b", False)
    del event["performer"]
    assert change_of(event).suppressed
    assert outcome(tell(event, RC_ONLY)) == "other_owner"


def test_tags() -> None:
    """A hint with both lists; absent ones are empty."""
    event = revision_event("tags-change", tags=["mw-reverted"], prior_state={"tags": ["x"]})
    (hint,) = tell(event).records
    assert isinstance(hint, Hint)
    assert (hint.tags, hint.previous_tags, hint.page_id, hint.revision) == (("mw-reverted",), ("x",), 5, 42)
    (bare,) = tell(revision_event("tags-change")).records
    assert isinstance(bare, Hint)
    assert (bare.tags, bare.previous_tags) == ((), ())


@pytest.mark.parametrize("nothing", [None, 0, -5, 2**53, False])
def test_a_revert_that_does_not_say_what_it_restores(nothing: object) -> None:
    """What is none, or no revision's number, is not known; the hint is there all the same."""
    event = pc("edit")
    event["revision"] |= {
        "revert": {
            "rev_reverted_oldest_id": 39,
            "rev_reverted_newest_id": None if nothing is False else nothing,
            "rev_original_id": nothing,
            "method": "undo",
            "is_exact": False,
        }
    }
    (hint,) = tell(event).records
    assert isinstance(hint, Hint)
    assert (hint.reverted_oldest, hint.reverted_newest, hint.restored) == (39, 0, 0)


@pytest.mark.parametrize(
    ("stream", "model"),
    [
        ("mediawiki.page_revert_risk_prediction_change.v1", "revertrisk-language-agnostic"),
        ("mediawiki.page_revert_risk_multilingual_prediction_change.v1", "revertrisk-multilingual"),
        ("mediawiki.page_revert_risk_wikidata_prediction_change.v1", "revertrisk-wikidata"),
    ],
)
def test_risk_scores(stream: str, model: str) -> None:
    """The probability of a revert, by model; a model about something else is no signal, nor is one that has
    no probability or no plain name.
    """
    assert SourceSettings(streams=("recentchange", stream)).streams[1] == stream
    event = pc("edit") | {
        "$schema": "/mediawiki/page/prediction_classification_change/1.1.0",
        "meta": meta(stream),
        "predicted_classification": {
            "model_name": model,
            "model_version": "3",
            "predictions": ["false"],
            "probabilities": {"true": 0.25, "false": 0.75},
        },
    }
    (hint,) = tell(event).records
    assert isinstance(hint, Hint)
    assert hint.scores == {model: 0.25}
    for other in (
        {"model_name": "topics", "probabilities": {"Culture": 1}},
        {"model_name": model, "probabilities": {"true": 1.5}},
        {"model_name": model, "probabilities": {"true": -0.1}},
        {"model_name": "a.b", "probabilities": {"true": 0.5}},
        {"model_name": "", "probabilities": {"true": 0.5}},
    ):
        event["predicted_classification"] = other
        assert outcome(tell(event)) == "no_signal"


# ── what isn't taken ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"$schema": "/mediawiki/recentchange/1.0.1", "meta": {"dt": "2026-01-01T00:00:00Z",
          "stream": "mediawiki.recentchange", "domain": "canary"}}, "canary"),
        (rc(**{"$schema": "/mediawiki/recentchange/2.0.0"}), "schema_major"),
        (pc("edit", **{"$schema": "/mediawiki/page/change/2.0.0"}), "schema_major"),
        (pc("edit", **{"$schema": "/mediawiki/page/change/0.9.0"}), "schema_major"),
        (rc(**{"$schema": "/wikimedia/other/1.0.0"}), "stream_unknown"),
        (rc(wiki=None), "missing_field"),
        (rc(title=""), "missing_field"),
        (rc(title="x" * 2_000), "out_of_range"),
        (rc(title="A|B"), "out_of_range"),
        (rc(server_name=None, meta=meta("mediawiki.recentchange", domain="")), "missing_field"),
        (rc(meta=meta("mediawiki.recentchange", id="x" * 200)), "out_of_range"),
        (rc(revision={"old": 1, "new": 0}), "out_of_range"),
        (rc(revision={"old": 1, "new": -4}), "out_of_range"),
        (rc(revision={"old": 1, "new": 2**64}), "out_of_range"),
        (rc(revision=None), "missing_field"),
        (rc(namespace="main"), "shape"),
        (rc(namespace=None), "missing_field"),
        (rc(timestamp=10**12), "out_of_range"),
        (rc(timestamp=0), "out_of_range"),
        (rc(wiki="a/b"), "out_of_range"),
        (rc(server_name="user:pw@host/"), "out_of_range"),
        (rc(meta=meta("mediawiki.recentchange", dt="yesterday")), "shape"),
        (log("protect", "protect", namespace=-1), "special_page"),
        (pc("move", page={"page_id": 0, "page_title": "A", "namespace_id": 0}), "out_of_range"),
        ([1, 2], "shape"),
    ],
)  # fmt: skip
def test_what_is_dropped_and_why(event: object, reason: str) -> None:
    """Whatever is wrong is dropped under one of a few words."""
    assert outcome(tell(event)) == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_json"),
        (b'{"a":', "not_json"),
        (b"null", "shape"),
        (msgspec.json.encode(rc()).replace(b"Talk:A b", b"\\ud800"), "not_json"),
        (b'{"x":' + b"[" * 100_000, "not_json"),
        (b'{"\xff": 1', "not_utf8"),
        (msgspec.json.encode(rc()).replace(b"words", b"\xff\xfe"), "not_utf8"),
        (msgspec.json.encode(rc()) + b"}", "not_json"),
    ],
)
def test_bytes_that_are_no_event(data: bytes, reason: str) -> None:
    """Neither broken nor hostile bytes raise anything."""
    assert interpret(data, ALL).dropped == reason


def test_without_a_schema_the_topic_tells() -> None:
    """Events of older recordings carry neither `$schema` nor `meta.stream`."""
    event = rc()
    del event["$schema"]
    event["meta"] = {"dt": "2019-06-02T08:40:23Z", "id": "x", "topic": "eqiad.mediawiki.recentchange"}
    assert outcome(tell(event)) == "edit"


def test_without_a_server_name_the_domain_tells() -> None:
    """Both name the wiki's host."""
    assert change_of(rc(server_name=None)).server_name == "x.example.org"


def test_weeks_old_and_ahead_are_admitted() -> None:
    """An event's own time is what the wiki says, and orders nothing."""
    for stamp in (1_500_000_000, 1_900_000_000):
        assert change_of(rc(timestamp=stamp)).edited_ms == stamp * 1_000


# ── admission ──────────────────────────────────────────────────────────────────────────────────


def admitting(**admit: Any) -> Rules:
    return Rules.of(Settings(source=SourceSettings(contact="x@example.org"), admit=AdmitSettings(**admit)))


def test_admission() -> None:
    """By glob of the wiki, namespace, and bot."""
    assert outcome(tell(rc(), admitting(wikis=("x*",)))) == "edit"
    assert outcome(tell(rc(), admitting(wikis=("enwiki",)))) == "not_admitted"
    assert outcome(tell(rc(), admitting(namespaces=(0,)))) == "not_admitted"
    assert outcome(tell(rc(), admitting(bots=False))) == "not_admitted"
    assert outcome(tell(pc("edit"), admitting(namespaces=(0,)))) == "not_admitted"
    assert outcome(tell(revision_event("tags-change"), admitting(namespaces=(0,)))) == "not_admitted"


def test_removals_by_bots_are_admitted() -> None:
    """`bots = false` is about edits: a bot's deletion removes what a person wrote."""
    event = pc("delete", performer={"is_bot": True})
    assert outcome(tell(event, admitting(bots=False))) == "delete"


def test_moves_are_admitted_by_either_place() -> None:
    """Out of scope and into it both matter; the redirect counts for itself."""
    event = pc(
        "move",
        prior_state={"page": {"page_title": "A b", "namespace_id": 0}},
        created_redirect_page={"page_id": 6, "page_title": "A_b", "namespace_id": 0},
    )
    assert outcome(tell(event, admitting(namespaces=(0,)))) == "move+create:redirect"
    assert outcome(tell(event, admitting(namespaces=(1,)))) == "move"
    assert outcome(tell(event, admitting(namespaces=(2,)))) == "not_admitted"


# ── the recordings ─────────────────────────────────────────────────────────────────────────────


def recorded(file: Path) -> Iterator[bytes]:
    content = file.read_bytes()
    if file.suffix == ".sse":
        for frame in Decoder(max_event_bytes=1 << 24).feed(content + b"\n"):
            assert isinstance(frame, Frame)
            yield frame.data
    elif file.name == "rcfeed.jsonl":
        for line in content.splitlines():
            event = msgspec.json.decode(line)["event"]
            yield msgspec.json.encode(event | {"meta": meta("mediawiki.recentchange")})
    else:
        yield from (line for line in content.splitlines() if line.strip())


def count(file: Path, rules: Rules) -> Counter[str]:
    return Counter(outcome(interpret(data, rules)) for data in recorded(file))


def test_the_recordings_all_decode(shared_data: Path) -> None:
    """Nothing anyone recorded is beyond us: what is dropped is dropped for a reason that is no error."""
    files = [
        *shared_data.glob("recentchange-*"),
        *shared_data.glob("*-2026.sse"),
        *shared_data.glob("page_change/*.json"),
        shared_data / "mediawiki-1.39" / "rcfeed.jsonl",
        shared_data / "mediawiki-1.39" / "kafkasse.sse",
    ]
    fine = {"canary", "categorize", "type_unknown", "log_ignored", "other_owner"}
    for file in files:
        for rules in (ALL, RC_ONLY):
            for data in recorded(file):
                told = interpret(data, rules)
                assert told.dropped in fine | {""}, (file.name, told.dropped)


def test_the_2021_recording_by_outcome(shared_data: Path) -> None:
    """73 wikis in 66 s, with recentchange alone and with all streams configured."""
    file = shared_data / "recentchange-2021.sse"
    common = {"edit": 1230, "create": 39, "categorize": 586, "type_unknown": 2, "log_ignored": 63}
    assert count(file, RC_ONLY) == common | {
        "refresh:upload": 19,
        "delete": 7,
        "move": 2,
        "move+create:redirect": 2,
    }
    assert count(file, ALL) == common | {"refresh:upload": 19, "other_owner": 11}


def test_the_feed_of_a_real_wiki_by_outcome(shared_data: Path) -> None:
    """Every kind of change that a MediaWiki 1.39 was made to tell."""
    outcomes = count(shared_data / "mediawiki-1.39" / "rcfeed.jsonl", RC_ONLY)
    assert outcomes == {
        "edit": 13,
        "create": 10,
        "log_ignored": 6,
        "move+create:redirect": 3,
        "move": 1,
        "delete:overwritten": 1,
        "delete": 2,
        "restore:undelete": 1,
        "visibility": 2,
        "refresh:protect": 1,
        "refresh:upload": 1,
        "refresh:contentmodel": 1,
        "categorize": 1,
    }
