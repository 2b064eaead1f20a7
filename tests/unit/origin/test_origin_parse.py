"""What the action API's answers mean, on invented answers of every recorded shape."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from streamer.origin.answer import Found, Missing, SiteInfo
from streamer.origin.parse import (
    AnotherPage,
    AnotherWiki,
    ApiError,
    Asked,
    Key,
    Reading,
    Reply,
    Unparsable,
    read_log,
    read_pages,
)
from streamer.origin.scheduler import By

SITE = SiteInfo(
    wiki="xwiki",
    server_name="x.example.org",
    name="X",
    language="en",
    direction="ltr",
    namespaces={0: "", 1: "Talk"},
    licence_name="CC BY-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-sa/4.0/",
    article_path="/wiki/$1",
    script_path="/w",
    server="https://x.example.org",
    fetched_ms=1,
)
ASKED = Asked("xwiki", "x.example.org", 1_000, SITE)
GENERAL = {"wikiid": "xwiki", "sitename": "X", "lang": "ar", "rtl": True, "server": "//x.example.org"}


def a_revision(number: int, **other: Any) -> dict[str, Any]:
    return {
        "revid": number,
        "parentid": number - 1,
        "user": "Ann",
        "userid": 7,
        "timestamp": "2026-11-21T07:32:51Z",
        "size": 4,
        "sha1": "ab" * 20,
        "slots": {
            "main": {"contentmodel": "wikitext", "contentformat": "text/x-wiki", "content": f"v{number}"}
        },
        "comment": "c",
        "tags": ["t"],
    } | other


def a_page(page_id: int, *revisions: dict[str, Any], **other: Any) -> dict[str, Any]:
    page = {
        "pageid": page_id,
        "ns": 0,
        "title": f"Page {page_id}",
        "contentmodel": "wikitext",
        "pagelanguage": "en",
        "pagelanguagedir": "ltr",
        "lastrevid": 99,
    }
    if revisions:
        page["revisions"] = list(revisions)
    return page | other


def read(body: dict[str, Any], by: By, keys: Sequence[Key], asked: Asked = ASKED) -> Reading:
    return read_pages(Reply(json.dumps(body).encode()), by, keys, asked)


def pages(*found: dict[str, Any], **query: Any) -> dict[str, Any]:
    return {"batchcomplete": True, "query": {"pages": list(found)} | query}


def only(reading: Reading, key: Key) -> Found:
    answer = reading.answers[key]
    assert isinstance(answer, Found)
    return answer


def test_revisions_are_found_by_id_whatever_their_order() -> None:
    """Several revisions of one page come as one page, in no order; each key gets its own."""
    body = pages(a_page(2, a_revision(9), a_revision(3)), a_page(1, a_revision(5)))
    reading = read(body, "revision", [3, 5, 9])
    assert {key: only(reading, key).revision.content for key in (3, 5, 9)} == {3: "v3", 5: "v5", 9: "v9"}
    assert only(reading, 3).page.page_id == 2
    assert only(reading, 3).asked_ms == 1_000


def test_what_is_said_of_the_page_rides_along() -> None:
    """Protection, last revision, language, the item and the disambiguation flag are the page's."""
    page = a_page(
        4,
        a_revision(8),
        redirect=True,
        protection=[{"type": "edit", "level": "sysop", "expiry": "infinity"}],
        pageprops={"wikibase_item": "Q42", "disambiguation": ""},
    )
    found = only(read(pages(page), "revision", [8]), 8)
    assert (found.page.main_entity, found.page.is_disambiguation, found.page.is_redirect) == (
        "Q42",
        True,
        True,
    )
    assert found.page.protection[0].level == "sysop"
    assert found.page.last_revision == 99


@pytest.mark.parametrize(
    "bad", [{"21": {"revid": 21, "missing": True}}, [{"revid": 21, "missing": True}]], ids=["dict", "list"]
)
def test_badrevids_are_missing_with_and_without_pages(bad: object) -> None:
    """A dict, or a list (as for id 0), and possibly no `pages` at all."""
    reading = read({"batchcomplete": True, "query": {"badrevids": bad}}, "revision", [21])
    assert isinstance(reading.answers[21], Missing)


def test_hidden_text_is_never_taken() -> None:
    """A privileged account is sent the hidden content, comment, user and hash all the same."""
    revision = a_revision(
        24,
        userhidden=True,
        commenthidden=True,
        sha1hidden=True,
        suppressed=True,
        slots={"main": {"texthidden": True, "contentmodel": "wikitext", "content": "secret"}},
    )
    got = only(read(pages(a_page(1, revision)), "revision", [24]), 24).revision
    assert (got.content, got.comment, got.user, got.user_id, got.sha1) == (None, "", "", 0, "")
    assert got.text_hidden
    assert got.comment_hidden
    assert got.user_hidden
    assert got.suppressed


def test_an_empty_page_is_a_text() -> None:
    """A page of 0 bytes has content, and it is not missing or hidden."""
    revision = a_revision(3, size=0, slots={"main": {"contentmodel": "wikitext", "content": ""}})
    assert only(read(pages(a_page(1, revision)), "revision", [3]), 3).revision.content == ""


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"slots": {"main": {"textmissing": True}}}, "text_missing"),
        ({"slots": {"main": {"contentmodel": "wikitext"}}}, "text_missing"),
        ({"slots": {}}, "slots_missing"),
        ({"slotsmissing": True}, "slots_missing"),
        ({"timestamp": "yesterday"}, "bad_timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "bad_timestamp"),
        ({"timestamp": "9999-12-31T23:59:59-12:00"}, "bad_timestamp"),
    ],
)
def test_a_revision_without_text_concerns_itself_alone(other: dict[str, Any], reason: str) -> None:
    """What can't become an article is invalid; the other revisions of the batch are answered."""
    reading = read(pages(a_page(1, a_revision(3, **other), a_revision(4))), "revision", [3, 4])
    assert reading.invalid[3].reason == reason
    assert only(reading, 4).revision.identifier == 4


def test_truncation_is_not_absence() -> None:
    """Pages that come without `revisions` under `continue` were not reached: neither missing nor invalid."""
    body = pages(a_page(1, a_revision(3)), a_page(2)) | {"continue": {"rvcontinue": 4, "continue": "||info"}}
    reading = read(body, "revision", [3, 4])
    assert reading.unreached == [4]
    assert only(reading, 3).revision.identifier == 3


def test_a_page_whose_properties_were_cut_is_asked_again() -> None:
    """Its text came, but whether it has an item isn't known."""
    body = pages(a_page(1, a_revision(3)), a_page(2, a_revision(4), pageprops={"wikibase_item": "Q1"}))
    reading = read(body | {"continue": {"ppcontinue": "1|x", "continue": "||"}}, "revision", [3, 4])
    assert reading.unreached == [3]
    assert only(reading, 4).page.main_entity == "Q1"


def test_silence_about_a_key_is_no_verdict() -> None:
    """Neither found, nor bad, nor cut: unanswered, to be asked again."""
    assert read(pages(a_page(1, a_revision(3))), "revision", [3, 4]).unanswered == [4]


@pytest.mark.parametrize(("by", "key"), [("revision", 4), ("title", "Other"), ("page", 2)])
def test_an_answer_about_another_page_is_not_believed(by: By, key: Key) -> None:
    """Another page's text must never come out under this one's name, however it was asked for."""
    with pytest.raises(AnotherPage):
        read(pages(a_page(1, a_revision(5))), by, [key])


def test_nothing_is_believed_of_an_answer_that_tells_too_much() -> None:
    """Asked for 4 and 5, told of 5 and 6: the texts may have moved on by one, 5 holding that of 4."""
    with pytest.raises(AnotherPage):
        read(pages(a_page(1, a_revision(5), a_revision(6))), "revision", [4, 5])


def test_titles_are_followed_through_normalisation_only() -> None:
    """`normalized` names what the wiki made of a title; missing, special, invalid and interwiki differ."""
    body = pages(
        a_page(1, a_revision(5), title="Page one"),
        {"ns": 0, "title": "Gone", "missing": True},
        {"ns": -1, "title": "Special:Version", "special": True},
        {"title": "Bad[", "invalid": True, "invalidreason": "…"},
        normalized=[{"fromencoded": False, "from": "page one", "to": "Page one"}],
        interwiki=[{"title": "fr:Un", "iw": "fr"}],
    )
    reading = read(body, "title", ["page one", "Gone", "Special:Version", "Bad[", "fr:Un"])
    assert only(reading, "page one").page.page_id == 1
    assert isinstance(reading.answers["Gone"], Missing)
    reasons = {key: error.reason for key, error in reading.invalid.items()}
    assert reasons == {"Special:Version": "special_page", "Bad[": "invalid_title", "fr:Un": "interwiki"}


def test_pages_by_id_are_found_or_missing() -> None:
    """`{"pageid": 7, "missing": true}` is the wiki's word that there is no such page."""
    reading = read(pages(a_page(1, a_revision(5)), {"pageid": 7, "missing": True}), "page", [7, 1])
    assert isinstance(reading.answers[7], Missing)
    assert only(reading, 1).revision.identifier == 5


@pytest.mark.parametrize(
    ("user", "anonymous", "temporary"),
    [
        ({"user": "192.0.2.7", "userid": 0, "anon": True}, True, False),
        ({"user": "2001:db8::7", "userid": 0}, True, False),
        ({"user": "~2026-12881-95", "userid": 5}, False, True),
        ({"user": "~2026-1", "userid": 5, "temp": True}, False, True),
        ({"user": "en>Imported", "userid": 0}, False, False),
    ],
)
def test_who_has_no_account(user: dict[str, Any], anonymous: bool, temporary: bool) -> None:
    """IP users are anonymous, temporary accounts temporary; id 0 alone (imports) says neither."""
    got = only(read(pages(a_page(1, a_revision(3, **user))), "revision", [3]), 3).revision
    assert (got.is_anonymous, got.is_temporary) == (anonymous, temporary)


@pytest.mark.parametrize("code", ["maxlag", "ratelimited", "readonly", "internal_api_error_DBQueryError"])
def test_errors_come_with_status_200(code: str) -> None:
    """An `error` in the body beats whatever else the body says."""
    with pytest.raises(ApiError) as error:
        read({"error": {"code": code, "info": "…", "lag": 5.3}}, "revision", [1])
    assert error.value.code == code


def test_too_many_values_name_the_limit() -> None:
    """The batch for that wiki follows it."""
    with pytest.raises(ApiError) as error:
        read({"error": {"code": "toomanyvalues", "limit": 50, "lowlimit": 50}}, "revision", [1])
    assert error.value.limit == 50


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"<html>", b"[]", b'{"query":{"pages":{"2":{}}}}'),
        b'{"query":{"pages":[{"title":"\xff"}]}}',
        b'{"a":' * 100_000,
    ],
)
def test_nonsense_is_unparsable(body: bytes) -> None:
    """No JSON, JSON of another format version, invalid UTF-8, nesting without end."""
    with pytest.raises(Unparsable):
        read_pages(Reply(body), "revision", [1], ASKED)


def test_site_info_rides_along() -> None:
    """Licence, direction and namespaces are the wiki's own; a protocol-relative server gets its scheme."""
    body = pages(
        a_page(1, a_revision(3)),
        general=GENERAL,
        namespaces={"0": {"id": 0, "name": "", "case": "case-sensitive"}, "2": {"id": 2, "name": "مستخدم"}},
        namespacealiases=[{"id": 2, "alias": "مستخدمة"}, {"id": 4, "alias": "وب"}],
        rightsinfo={"url": "//creativecommons.org/l/", "text": "CC"},
    )
    reading = read(body, "revision", [3], Asked("xwiki", "x.example.org", 5, None))
    site = reading.site
    assert site is not None
    assert only(reading, 3).site is site
    assert (site.direction, site.language, site.server) == ("rtl", "ar", "https://x.example.org")
    assert (site.licence_name, site.licence_url) == ("CC", "https://creativecommons.org/l/")
    assert site.namespaces == {0: "", 2: "مستخدم"}
    assert site.aliases == {"مستخدمة": 2, "وب": 4}
    assert site.cased == (0,)


def test_without_site_info_nothing_is_answered() -> None:
    """An article needs its wiki's licence: it is asked again."""
    reading = read(pages(a_page(1, a_revision(3))), "revision", [3], Asked("xwiki", "x.example.org", 5, None))
    assert reading.unanswered == [3]


def test_another_wiki_is_refused_whole() -> None:
    """A change that names one wiki and the server of another gets no article from it."""
    with pytest.raises(AnotherWiki) as error:
        read(pages(a_page(1, a_revision(3)), general=GENERAL | {"wikiid": "ywiki"}), "revision", [3])
    assert error.value.reason == "another_wiki"
    with pytest.raises(AnotherWiki):
        read(pages(a_page(1, a_revision(3))), "revision", [3], Asked("zwiki", "x.example.org", 5, SITE))


def log_body(*entries: dict[str, Any]) -> Reply:
    return Reply(json.dumps({"query": {"logevents": list(entries)}}).encode())


def test_the_page_of_a_deletion_is_named_by_its_log_entry() -> None:
    """By log id; without one, by the second; hiding actions have no page to take away."""
    entry = {
        "logid": 5,
        "type": "delete",
        "action": "delete",
        "logpage": 12,
        "timestamp": "1970-01-01T00:00:09Z",
    }
    redirect = entry | {"logid": 6, "action": "delete_redir", "logpage": 13}
    hiding = entry | {"logid": 7, "action": "revision", "logpage": 14}
    later = entry | {"logid": 8, "timestamp": "1970-01-01T00:00:10Z", "logpage": 15}
    body = log_body(later, entry, redirect, hiding)
    assert read_log(body, 6, 9_000, ASKED) == ((13,), None)
    assert read_log(body, 0, 9_999, ASKED) == ((12, 13), None)
    assert read_log(body, 99, 9_000, ASKED) == ((), None)
