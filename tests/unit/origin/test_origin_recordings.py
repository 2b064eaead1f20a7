"""Every recorded answer of a real MediaWiki through the parser."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from streamer.origin.answer import Found, Missing, SiteInfo
from streamer.origin.parse import AnotherPage, ApiError, Asked, Key, Reply, Unparsable, read_log, read_pages

SITE = SiteInfo("testwiki", "h", "T", "en", "ltr", {}, "", "", "", "", "", 0)
ASKED = Asked("testwiki", "h", 7, SITE)


def recorded(shared_data: Path, name: str) -> tuple[dict[str, list[str]], Reply]:
    entry: dict[str, Any] = json.loads((shared_data / "mediawiki-1.39/api" / name).read_text())
    request = entry["request"]
    url = request if isinstance(request, str) else request["url"]
    body = entry["body"]
    return parse_qs(urlsplit(url).query), Reply(
        (body if isinstance(body, str) else json.dumps(body)).encode()
    )


def outcomes(shared_data: Path, name: str) -> dict[Key, str]:
    """Each key that was asked for, and the one word of what became of it."""
    parameters, reply = recorded(shared_data, name)
    if "titles" in parameters:
        keys: list[Key] = [*dict.fromkeys(parameters["titles"][0].split("|"))]
        reading = read_pages(reply, "title", keys, ASKED)
    else:
        keys = [*dict.fromkeys(int(key) for key in parameters["revids"][0].split("|"))]
        reading = read_pages(reply, "revision", keys, ASKED)
    words: dict[Key, str] = {}
    for key, answer in reading.answers.items():
        if isinstance(answer, Missing):
            words[key] = "missing"
        else:
            words[key] = "hidden" if answer.revision.text_hidden else "found"
            assert (answer.revision.content is None) == answer.revision.text_hidden
    words |= {key: error.reason for key, error in reading.invalid.items()}
    words |= dict.fromkeys(reading.unreached, "unreached") | dict.fromkeys(reading.unanswered, "unanswered")
    assert words.keys() == set(keys)
    return words


def test_every_recorded_answer_has_a_verdict(shared_data: Path) -> None:
    """Nothing recorded crashes the parser: each file is answers, an error that has a code, or no answer."""
    files = sorted((shared_data / "mediawiki-1.39/api").glob("*.json"))
    assert len(files) >= 50
    for file in files:
        _, reply = recorded(shared_data, file.name)
        with suppress(ApiError, Unparsable, AnotherPage):
            read_pages(reply, "revision", [2], ASKED)
            read_log(reply, 1, 0, ASKED)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("revisions_existing.json", {25: "found"}),
        ("revisions_revid_0.json", {0: "missing"}),
        ("revisions_of_deleted_page_badrevids.json", {21: "missing"}),
        ("revisions_texthidden.json", {24: "hidden"}),
        ("revisions_texthidden_only.json", {24: "hidden"}),
        ("revisions_texthidden_as_admin.json", {24: "hidden"}),
        ("revisions_suppressed.json", {26: "hidden"}),
        (
            "revisions_mixed_batch.json",
            {
                2: "found",
                3: "found",
                24: "hidden",
                21: "missing",
                26: "hidden",
                25: "found",
                99999999: "missing",
            },
        ),
        ("revisions_same_page_multi_and_dup.json", dict.fromkeys((874, 2, 3, 4), "found")),
        (
            "revisions_missing_title.json",
            {
                "No such page": "missing",
                "Talk:Nope": "missing",
                "Bad[title": "invalid_title",
                "Special:Version": "special_page",
            },
        ),
        (
            "revisions_maxresultsize_continue_page1.json",
            dict.fromkeys(range(874, 879), "found") | {879: "unreached", 880: "unreached"},
        ),
    ],
)
def test_recorded_batches(shared_data: Path, name: str, expected: dict[Key, str]) -> None:
    """Each key of a real batch ends as the wiki meant it."""
    words = outcomes(shared_data, name)
    assert {key: words[key] for key in expected} == expected


def test_a_whole_batch(shared_data: Path) -> None:
    """Fifty revisions of fifty pages, each with its own text and hash."""
    words = outcomes(shared_data, "revisions_50_batch.json")
    assert len(words) == 50
    assert set(words.values()) == {"found"}


def test_recorded_siteinfo(shared_data: Path) -> None:
    """A real wiki's word about itself, namespaces with negative numbers included."""
    _, reply = recorded(shared_data, "siteinfo.json")
    _, site = read_log(reply, 1, 0, Asked("testwiki", "h", 7, None))
    assert site is not None
    assert (site.wiki, site.name, site.direction, site.article_path) == (
        "testwiki",
        "TestWiki",
        "ltr",
        "/wiki/$1",
    )
    assert site.namespaces[3] == "User talk"
    assert site.namespaces[-1] == "Special"
    assert site.aliases == {"Image": 6, "Image talk": 7}


def test_recorded_errors(shared_data: Path) -> None:
    """Errors seen in the wild, with and without a lag, a type, a star: told by their code."""
    codes = []
    for line in (shared_data / "api-errors.jsonl").read_text().splitlines():
        body = json.loads(line).get("body")
        if body is None:
            continue
        try:
            read_pages(Reply(json.dumps(body).encode()), "revision", [123456789012345], ASKED)
        except ApiError as error:
            codes.append(error.code)
    assert codes == ["maxlag", "maxlag", "maxlag", "nosuchrevid", "ratelimited"]
    _, reply = recorded(shared_data, "revisions_51_batch_anon_error.json")
    with pytest.raises(ApiError) as refused:
        read_pages(reply, "revision", [1], ASKED)
    assert (refused.value.code, refused.value.limit) == ("toomanyvalues", 50)


def test_recorded_answers_of_the_old_format_are_refused(shared_data: Path) -> None:
    """Format version 1 was not asked for, and its shapes are others."""
    _, reply = recorded(shared_data, "revisions_mixed_batch_fv1.json")
    with pytest.raises(Unparsable):
        read_pages(reply, "revision", [2], ASKED)


def test_recorded_found_is_whole(shared_data: Path) -> None:
    """Text, hash, time and tags of a recorded revision arrive as they were."""
    parameters, reply = recorded(shared_data, "revisions_existing_probe_latest.json")
    answer = read_pages(reply, "title", parameters["titles"], ASKED).answers["Probe article"]
    assert isinstance(answer, Found)
    assert answer.revision.identifier == answer.page.last_revision == 29
    assert answer.revision.sha1 == "03802990198d0de72e49f720dffca2f425758cd7"
    assert answer.revision.content is not None
    assert "日本語 😀" in answer.revision.content
    assert answer.revision.edited_ms == 1_795_246_373_000
    assert answer.revision.tags == ("probe tag",)
