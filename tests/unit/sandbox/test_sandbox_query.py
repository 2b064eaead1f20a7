"""The action API's answers: shapes as recorded from a real MediaWiki, and the same on invented data."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamer.sandbox.languages import NAMESPACES
from streamer.sandbox.pages import HIDDEN_COMMENT, HIDDEN_TEXT, HIDDEN_USER, SUPPRESSED, Deed, Site, User
from streamer.sandbox.params import ApiError, Params
from streamer.sandbox.query import Conditions, errors_of, query
from streamer.sandbox.wiki import Wiki

NOW_MS = 1_790_000_000_000
ADMIN = User("Admin", 1, ("*", "user", "sysop"))
IP = User("192.0.2.7")
TEMPORARY = User("~2026-1-2", 9, is_temporary=True)
SITE = Site(
    "tsandbox",
    "t.sandbox.example",
    "T",
    "en",
    False,
    "A licence",
    "https://l.example/",
    {**NAMESPACES, 14: "Kind"},
)
EVERYTHING = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "prop": "revisions|info|pageprops|categories",
    "rvslots": "main",
    "rvprop": "ids|timestamp|flags|content|sha1|size|comment|user|userid|tags",
    "inprop": "protection",
}


def deed(user: User = ADMIN, comment: str = "c", ago_s: int = 100) -> Deed:
    return Deed(user, comment, NOW_MS - ago_s * 1000)


@pytest.fixture
def wiki() -> Wiki:
    """Pages 1 (1001 to 1003) and 2 (1004); page 3 (1005) is deleted; page 4 (1006) redirects to page 1."""
    made = Wiki(SITE, "#REDIRECT")
    page = made.create("One", "first", deed())
    made.edit(page, "second [[Category:b c]] [[kind:A]] [[:Category:Not]]", deed(IP), minor=True)
    made.edit(page, "third [[Category:b c]] [[kind:A]]", deed(TEMPORARY))
    page.main_entity = "Q1"
    made.create("Talk:Two", "other", deed())
    made.delete(made.create("Three", "gone", deed()), deed())
    made.create("Four", "#REDIRECT [[One]]", deed())
    return made


def ask(wiki: Wiki, conditions: Conditions | None = None, **params: str) -> Any:
    return query(wiki, Params({**EVERYTHING, **params}), conditions or Conditions(NOW_MS))


def test_revisions_of_one_page_come_as_one_page(wiki: Wiki) -> None:
    """Doubles collapse, order isn't the request's, each revision has its slots."""
    [page] = ask(wiki, revids="1002|1001|1001")["query"]["pages"]
    assert [revision["revid"] for revision in page["revisions"]] == [1001, 1002]
    second = page["revisions"][1]
    assert second["slots"]["main"]["content"].startswith("second")
    assert (second["user"], second["userid"], second["anon"], second["minor"]) == ("192.0.2.7", 0, True, True)
    assert (page["lastrevid"], page["pageprops"]) == (1003, {"wikibase_item": "Q1"})
    assert [one["title"] for one in page["categories"]] == ["Kind:A", "Kind:B c"]


def test_a_page_has_its_picture_and_says_what_search_engines_may_do(wiki: Wiki) -> None:
    """Where it has one, and where its text says so; else nothing is told of either."""
    page = wiki.page(1)
    assert page
    wants = {"titles": "One", "prop": "pageprops|pageimages", "piprop": "original", "ppprop": "noindex"}
    [told] = ask(wiki, **wants)["query"]["pages"]
    assert not {"original", "pageprops"} & told.keys()
    page.image = "A lamp.png"
    wiki.edit(page, "__NOINDEX__", deed())
    [told] = ask(wiki, **wants)["query"]["pages"]
    assert told["original"] == {
        "source": f"https://{SITE.server_name}/images/A_lamp.png", "width": 640, "height": 480,
    }  # fmt: skip
    assert told["pageprops"] == {"noindex": ""}


def test_missing_revisions_are_bad_revids(wiki: Wiki) -> None:
    """Of a deleted page as of one that never was; nothing else is said, and there is no `pages`."""
    assert ask(wiki, revids="1005|77") == {
        "batchcomplete": True,
        "query": {
            "badrevids": {"77": {"revid": 77, "missing": True}, "1005": {"revid": 1005, "missing": True}}
        },
    }


def test_bad_revids_are_a_list_for_id_0(wiki: Wiki) -> None:
    """PHP writes an array with the key 0 as a JSON list."""
    assert ask(wiki, revids="0")["query"] == {"badrevids": [{"revid": 0, "missing": True}]}


@pytest.mark.parametrize(
    ("bits", "flags"),
    [
        (HIDDEN_TEXT, {"sha1hidden"}),
        (HIDDEN_COMMENT, {"commenthidden"}),
        (HIDDEN_USER, {"userhidden"}),
        (HIDDEN_TEXT | HIDDEN_USER | SUPPRESSED, {"sha1hidden", "userhidden", "suppressed"}),
    ],
)
def test_what_is_hidden_is_told_by_flags(wiki: Wiki, bits: int, flags: set[str]) -> None:
    """In the place of the value, which is absent; the text's flag is in its slot."""
    page = wiki.titled("One")
    assert page
    wiki.set_visibility(page, page.revisions[0], bits, deed())
    [revision] = ask(wiki, revids="1001")["query"]["pages"][0]["revisions"]
    assert {name for name in revision if name.endswith("hidden") or name == "suppressed"} == flags
    assert ("user" in revision) == (not bits & HIDDEN_USER)
    assert ("comment" in revision) == (not bits & HIDDEN_COMMENT)
    assert ("sha1" in revision) == (not bits & HIDDEN_TEXT)
    assert (revision["slots"]["main"] == {"texthidden": True}) == bool(bits & HIDDEN_TEXT)


def test_titles_are_normalised_missing_invalid_or_special(wiki: Wiki) -> None:
    """Each has its own form; a missing page has the language that it would have."""
    answer = ask(wiki, titles="one|talk:Two|category:x|Nope|Bad[title|Special:Version")["query"]
    assert {"fromencoded": False, "from": "one", "to": "One"} in answer["normalized"]
    assert {"fromencoded": False, "from": "category:x", "to": "Kind:X"} in answer["normalized"]
    by_title = {page["title"]: page for page in answer["pages"]}
    assert by_title["One"]["revisions"][0]["revid"] == 1003
    assert by_title["Nope"]["missing"]
    assert by_title["Nope"]["pagelanguage"] == "en"
    assert by_title["Bad[title"]["invalid"]
    assert by_title["Special:Version"] == {"ns": -1, "title": "Special:Version", "special": True}


def test_redirects_are_followed_only_when_asked_for(wiki: Wiki) -> None:
    """And `info` says that a page is one."""
    [page] = ask(wiki, titles="Four")["query"]["pages"]
    assert (page["title"], page["redirect"], page["new"]) == ("Four", True, True)
    answer = ask(wiki, titles="Four", redirects="1")["query"]
    assert answer["redirects"] == [{"from": "Four", "to": "One"}]
    assert answer["pages"][0]["title"] == "One"


def test_page_ids_find_the_newest_revision(wiki: Wiki) -> None:
    """A deleted one is missing."""
    pages = ask(wiki, pageids="1|3")["query"]["pages"]
    assert pages[0] == {"pageid": 3, "missing": True}
    assert pages[1]["revisions"][0]["revid"] == 1003


def test_too_large_an_answer_is_cut_and_continued(wiki: Wiki) -> None:
    """A page that was not reached has no `revisions`: absent means continue; nothing is told twice."""
    small = Conditions(NOW_MS, max_result_bytes=900)
    first = ask(wiki, small, revids="1001|1002|1004")
    assert "batchcomplete" not in first
    assert first["continue"] == {"rvcontinue": 1004, "continue": "||info|pageprops|categories"}
    assert "limit of 900 bytes" in first["warnings"]["result"]["warnings"]
    pages = {page["pageid"]: page for page in first["query"]["pages"]}
    assert [one["revid"] for one in pages[1]["revisions"]] == [1001, 1002]
    assert pages[2].get("revisions", []) == []
    assert pages[2]["lastrevid"] == 1004
    follow = {key: str(value) for key, value in first["continue"].items()}
    second = ask(wiki, small, revids="1001|1002|1004", **follow)
    assert second["batchcomplete"]
    assert second["query"]["pages"][0] == {"pageid": 1, "ns": 0, "title": "One"}
    assert [one["revid"] for one in second["query"]["pages"][1]["revisions"]] == [1004]


def test_lists_are_cut_after_so_many_entries_of_all_pages(wiki: Wiki) -> None:
    """List by list, a page whole before the next; what was said to go on with is all that it needs."""
    page = wiki.create("Many", "{{One}}{{two|{{Talk:One}}}}{{:One}} [[Category:C]]", deed())
    wiki.create("Five", "#REDIRECT [[one]]", deed())
    asked = {"prop": "info|categories|templates|redirects", "pageids": f"1|{page.identifier}"}
    small = {"cllimit": "2", "tllimit": "3", "rdlimit": "1"}
    first = ask(wiki, **asked, **small)
    assert "batchcomplete" not in first
    assert first["continue"] == {
        "clcontinue": f"{page.identifier}|C",
        "tlcontinue": f"{page.identifier}|10|Two",
        "rdcontinue": f"One|{wiki.titled('Five').identifier}",  # type: ignore[union-attr] - it was made
        "continue": "||info",
    }
    one, many = first["query"]["pages"]
    assert [entry["title"] for entry in one["categories"]] == ["Kind:A", "Kind:B c"]
    assert one["redirects"] == [{"ns": 0, "title": "Four"}]
    assert [entry["title"] for entry in many["templates"]] == ["One", "Talk:One", "Template:One"]
    assert "categories" not in many
    second = ask(wiki, **asked, **small, **first["continue"])
    assert second["batchcomplete"]
    one, many = second["query"]["pages"]
    assert one == {"pageid": 1, "ns": 0, "title": "One", "redirects": [{"ns": 0, "title": "Five"}]}
    assert many["categories"] == [{"ns": 14, "title": "Kind:C"}]
    assert many["templates"] == [{"ns": 10, "title": "Template:Two"}]


def test_the_highest_limit_is_told_of_each_list(wiki: Wiki) -> None:
    """Where it was asked for; and a word to go on with that is none is refused."""
    asked = {"prop": "categories|redirects", "titles": "One", "cllimit": "max"}
    assert ask(wiki, **asked)["limits"] == {"categories": 20}
    assert "limits" not in ask(wiki, titles="One")
    with pytest.raises(ApiError, match="badcontinue"):
        ask(wiki, **asked, clcontinue="nonsense")


def test_replica_lag_looks_like_deletion(wiki: Wiki) -> None:
    """By revision the id is bad, by title the page is the older one."""
    page = wiki.titled("One")
    assert page
    wiki.edit(page, "fourth", deed(ago_s=1))
    lagged = Conditions(NOW_MS, replica_lag_s=5)
    assert ask(wiki, lagged, revids="1007")["query"] == {
        "badrevids": {"1007": {"revid": 1007, "missing": True}}
    }
    assert ask(wiki, lagged, titles="One")["query"]["pages"][0]["lastrevid"] == 1003
    assert ask(wiki, revids="1007")["query"]["pages"][0]["lastrevid"] == 1007


def test_lost_text_is_told(wiki: Wiki) -> None:
    """The revision is known, its text isn't."""
    answer = ask(wiki, Conditions(NOW_MS, text_missing=True), revids="1001")
    assert answer["query"]["pages"][0]["revisions"][0]["slots"]["main"] == {"textmissing": True}


def test_a_wrong_request_is_refused_whole(wiki: Wiki) -> None:
    """One id too many, or no number, and nothing of it is answered."""
    with pytest.raises(ApiError) as refused:
        ask(wiki, revids="|".join(str(number) for number in range(51)))
    assert (refused.value.code, refused.value.extra["limit"]) == ("toomanyvalues", 50)
    with pytest.raises(ApiError, match="badinteger"):
        ask(wiki, revids="abc")
    with pytest.raises(ApiError, match="multisource"):
        ask(wiki, revids="1", titles="One")
    with pytest.raises(ApiError, match="badvalue"):
        errors_of({"action": "nosuch"})


def test_site_info_says_who_it_is_and_its_licence(wiki: Wiki) -> None:
    """It rides along with other queries."""
    answer = ask(wiki, revids="1001", meta="siteinfo", siprop="general|namespaces|rightsinfo")["query"]
    assert answer["general"]["wikiid"] == "tsandbox"
    assert answer["rightsinfo"] == {"url": "https://l.example/", "text": "A licence"}
    assert answer["namespaces"]["14"]["name"] == "Kind"
    assert answer["namespaces"]["14"]["canonical"] == "Category"
    assert answer["pages"]


def test_the_id_of_a_deleted_page_is_in_the_logs(wiki: Wiki) -> None:
    """`logpage`, while `pageid` is 0 because nothing has the title now."""
    [entry] = ask(wiki, list="logevents", letitle="three", letype="delete")["query"]["logevents"]
    assert (entry["logpage"], entry["pageid"], entry["action"], entry["title"]) == (3, 0, "delete", "Three")
    assert entry["timestamp"]
    assert entry["user"] == "Admin"


def test_a_move_is_logged_at_the_old_title(wiki: Wiki) -> None:
    """With its target, and whether a redirect was left; suppressions are in no public log."""
    page = wiki.titled("One")
    assert page
    wiki.move(page, "Talk:One", deed(), leave_redirect=True)
    wiki.set_visibility(page, page.revisions[0], SUPPRESSED | HIDDEN_TEXT, deed())
    wiki.set_visibility(page, page.revisions[1], HIDDEN_TEXT, deed())
    revision, move, delete = ask(wiki, list="logevents")["query"]["logevents"]
    assert (delete["type"], move["title"], move["logpage"]) == ("delete", "One", 1)
    assert move["params"] == {"target_ns": 1, "target_title": "Talk:One", "suppressredirect": False}
    assert revision["params"]["ids"] == [1002]
    assert revision["params"]["new"] == {
        "bitmask": 1,
        "content": True,
        "comment": False,
        "user": False,
        "restricted": False,
    }


def test_recent_changes_are_listed_in_pages(wiki: Wiki) -> None:
    """Newest first, continued by time and id, with page ids and hidden parts hidden."""
    seen: list[Any] = []
    follow: dict[str, str] = {}
    while True:
        answer = ask(
            wiki, list="recentchanges", rclimit="3", rcprop="ids|title|user|sizes|tags|sha1", **follow
        )
        seen += answer["query"]["recentchanges"]
        if "continue" not in answer:
            break
        follow = {key: str(value) for key, value in answer["continue"].items()}
    assert [one["revid"] for one in seen] == [1006, 0, 1004, 1003, 1002, 1001]
    assert all(one["pageid"] for one in seen)
    within = ask(wiki, list="recentchanges", rcstart="2000-01-01T00:00:00Z")
    assert within["query"]["recentchanges"] == []


# ── against the recordings ─────────────────────────────────────────────────────────────────────


def union(values: list[Any]) -> Any:
    """What any of them has."""
    if isinstance(values[0], dict):
        keys = {key for value in values for key in value}
        return {key: union([value[key] for value in values if key in value]) for key in keys}
    if isinstance(values[0], list):
        return [inner for value in values for inner in value]
    return values[0]


def shape(value: Any, known: Any, path: str = "") -> list[str]:
    """Where `value` has a key that `known` hasn't, or another type."""
    if isinstance(value, dict) and isinstance(known, dict):
        return [
            problem
            for key, inner in value.items()
            for problem in (
                [f"{path}.{key}"] if key not in known else shape(inner, known[key], f"{path}.{key}")
            )
        ]
    if isinstance(value, list) and isinstance(known, list):
        if not known:
            return []
        merged = union(known)
        return [problem for inner in value for problem in shape(inner, merged, f"{path}[]")]
    return (
        [] if type(value) is type(known) else [f"{path}: {type(value).__name__}, not {type(known).__name__}"]
    )


def recorded(shared_data: Path, name: str) -> Any:
    return json.loads((shared_data / "mediawiki-1.39" / "api" / f"{name}.json").read_text("utf-8"))["body"]


AS_PROBED = {"rvprop": "ids|timestamp|content|sha1|size|comment|user|tags", "inprop": ""}


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("revisions_existing", {"revids": "1001"}),
        ("revisions_mixed_batch", {"revids": "1001|1003|1005|9"}),
        ("revisions_of_deleted_page_badrevids", {"revids": "1005"}),
        ("revisions_revid_0", {"revids": "0"}),
        ("revisions_same_page_multi_and_dup", {"revids": "1001|1001|1004"}),
        ("revisions_missing_title", {"titles": "Nope|Talk:Nope|Bad[title|Special:Version"}),
        ("revisions_redirect_resolved", {"titles": "Four", "redirects": "1"}),
        ("siteinfo", {"meta": "siteinfo", "siprop": "general|namespaces|rightsinfo|namespacealiases"}),
    ],
)
def test_answers_have_the_recorded_shape(
    wiki: Wiki, shared_data: Path, name: str, params: dict[str, str]
) -> None:
    """No key that MediaWiki hasn't, and each of the same type."""
    for page in wiki.pages.values():
        page.main_entity = ""
        for revision in page.revisions:
            revision.user = ADMIN
    badrevids = name in ("revisions_mixed_batch", "revisions_of_deleted_page_badrevids")
    known = recorded(shared_data, name)
    if badrevids:
        known["query"]["badrevids"] |= {number: {"revid": 1, "missing": True} for number in ("9", "1005")}
    if "pages" in known.get("query", {}):
        known["query"]["pages"].append({"new": True})
        for page in known["query"]["pages"]:
            page.setdefault("categories", [{"ns": 14, "title": "x"}])
    answer = ask(wiki, **AS_PROBED, **params)
    assert shape(answer, known) == []
    assert set(answer.get("query", {})) == set(known["query"]) or name == "siteinfo"


@pytest.mark.parametrize("name", ["revisions_texthidden", "revisions_suppressed"])
def test_hidden_revisions_have_the_recorded_keys(wiki: Wiki, shared_data: Path, name: str) -> None:
    """Exactly: a privileged account would see more."""
    page = wiki.titled("One")
    assert page
    bits = HIDDEN_TEXT | HIDDEN_COMMENT | HIDDEN_USER
    wiki.set_visibility(page, page.revisions[0], bits | (SUPPRESSED if "supp" in name else 0), deed())
    known = recorded(shared_data, name)["query"]["pages"][0]["revisions"][0]
    told = ask(wiki, **AS_PROBED, revids="1001")["query"]["pages"][0]["revisions"][0]
    assert told.keys() == known.keys()
    assert told["slots"] == known["slots"]


def test_a_cut_answer_has_the_recorded_shape(wiki: Wiki, shared_data: Path) -> None:
    """continue, warnings, and no batchcomplete."""
    known = recorded(shared_data, "revisions_maxresultsize_continue_page1")
    answer = ask(wiki, Conditions(NOW_MS, max_result_bytes=900), revids="1001|1002|1004", **AS_PROBED)
    assert answer.keys() == known.keys()
    assert answer["continue"].keys() == known["continue"].keys()
    assert isinstance(answer["continue"]["rvcontinue"], int)
    assert (
        answer["warnings"]["result"]["warnings"].replace("900", "8,388,608")
        == known["warnings"]["result"]["warnings"]
    )


def test_refusals_have_the_recorded_words(wiki: Wiki, shared_data: Path) -> None:
    """Code, info and limits, to the letter."""
    for name, ids in (("revisions_51_batch_anon_error", range(51)), ("revisions_revid_notint", ["abc"])):
        known = recorded(shared_data, name)["error"]
        with pytest.raises(ApiError) as refused:
            ask(wiki, revids="|".join(str(number) for number in ids))
        assert {"code": refused.value.code, "info": refused.value.info, **refused.value.extra} == {
            key: value for key, value in known.items() if key != "docref"
        }


def test_recent_changes_have_the_recorded_shape(wiki: Wiki, shared_data: Path) -> None:
    """For a new page, with all properties."""
    known = recorded(shared_data, "recentchanges")["query"]["recentchanges"][0]
    rcprop = "title|timestamp|ids|user|userid|comment|parsedcomment|flags|sizes|loginfo|tags|sha1|redirect"
    told = ask(wiki, list="recentchanges", rcprop=rcprop, rctype="new")["query"]["recentchanges"][0]
    assert told.keys() == known.keys()
    assert shape(told, known) == []


def test_two_lists_continue_together(wiki: Wiki) -> None:
    """As MediaWiki does it: what has come to its end is named, and does not begin anew."""
    asked = {"list": "recentchanges|logevents", "rclimit": "2", "lelimit": "1", "rctype": "edit|new"}
    seen: dict[str, list[int]] = {"rcid": [], "logid": []}
    more: dict[str, str] = {}
    answers = 0
    while answers == 0 or more:
        answer = ask(wiki, **asked, rcdir="newer", ledir="newer", rcprop="ids", leprop="ids", **more)
        answers += 1
        seen["rcid"] += [row["rcid"] for row in answer["query"].get("recentchanges", ())]
        seen["logid"] += [row["logid"] for row in answer["query"].get("logevents", ())]
        more = answer.get("continue", {})
    assert answers == 3
    assert seen == {"rcid": [1, 2, 3, 4, 7], "logid": [1]}


def test_with_a_page_goes_what_was_changed_of_it(wiki: Wiki) -> None:
    """`list=recentchanges` names no edit of a page that is deleted; the log says so."""
    rows = ask(wiki, list="recentchanges", rclimit="50")["query"]["recentchanges"]
    assert 3 not in [row["pageid"] for row in rows if row["type"] != "log"]
    assert "delete" in [row["type"] for row in ask(wiki, list="logevents")["query"]["logevents"]]
