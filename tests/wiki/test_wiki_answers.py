"""What the real wikis answer against what was recorded from one, and the sandbox's answers against theirs.

Every recorded answer is made anew by the fixture: the same request, with this wiki's own ids and titles, in
the same situation. What is compared is the shape: keys, types, status, error words.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from harness.mediawiki import Wiki, WikiFarm

from streamer.origin import query
from streamer.origin.pagelists import PREFIXES, left_of
from streamer.partners import PAGE_LISTS
from streamer.sandbox.languages import NAMESPACES
from streamer.sandbox.server import Sandbox, SandboxOptions

pytestmark = pytest.mark.timeout(300)  # it is the fixture that takes long

WIKI = "enproof"
STEWARD, ROBOT, WRITER = "Steward", "Robot", "Writer"
HUGE = "lorem ipsum dolor sit amet " * 50_000
"""1.35 MB: seven of them are over MediaWiki's limit of 8 MiB for an answer."""

Ids = Mapping[str, int]


@dataclass(frozen=True)
class Row:
    """How the fixture makes it: what differs from the recorded request, by the ids of this wiki."""

    params: Callable[[Ids], Mapping[str, str]] = lambda _: {}
    who: str = ""
    path: Callable[[Ids], str] = lambda _: ""
    """Of the REST API, below /w/rest.php/v1/."""
    headers: Mapping[str, str] | None = None
    when: str = "end"
    """The step of the story after which it is asked."""


def of(*names: str) -> Callable[[Ids], Mapping[str, str]]:
    return lambda ids: {"revids": "|".join(str(ids[name]) for name in names)}


def some(first: int, count: int) -> Callable[[Ids], Mapping[str, str]]:
    return lambda ids: {
        "revids": "|".join(str(ids["batch"] + number) for number in range(first, first + count))
    }


def huge(ids: Ids) -> Mapping[str, str]:
    return {"revids": "|".join(str(ids[f"huge {number}"]) for number in range(7))}


def same(_: Ids) -> Mapping[str, str]:
    return {}


def mixed(*names: str) -> Callable[[Ids], Mapping[str, str]]:
    return lambda ids: {"revids": f"{of(*names)(ids)['revids']}|99999999"}


MIXED = ("probe 1", "probe 2", "hidden", "deleted", "shown")

MADE_BY_FIXTURE: Mapping[str, Row] = {
    "assert_user_failed": Row(),
    "bad_action_error": Row(),
    "bad_prop_warning": Row(lambda _: {"titles": "Probe article"}),
    "compare": Row(lambda ids: {"fromrev": str(ids["probe 1"]), "torev": str(ids["probe 2"])}),
    "edit_badtoken_error": Row(
        lambda _: {
            "action": "edit",
            "title": "X",
            "text": "x",
            "token": "bad",
            "format": "json",
            "formatversion": "2",
        },
        STEWARD,
    ),
    "edit_no_token_error": Row(
        lambda _: {"action": "edit", "title": "X", "text": "x", "format": "json", "formatversion": "2"},
        STEWARD,
    ),
    "extracts": Row(),
    "maxlag_-1": Row(),
    "maxlag_-2": Row(),
    "maxlag_0": Row(),
    "maxlag_5": Row(),
    "parse_oldid": Row(lambda ids: {"oldid": str(ids["probe 2"])}),
    "recentchanges": Row(lambda _: {"rctype": "new"}),
    "rest_page": Row(path=lambda _: "page/Probe%20article"),
    "rest_page_304": Row(path=lambda _: "page/Probe_article", headers={"If-None-Match": "etag"}),
    "rest_page_bare": Row(path=lambda _: "page/Probe_article/bare"),
    "rest_page_history": Row(path=lambda _: "page/Probe_article/history"),
    "rest_page_html": Row(path=lambda _: "page/Probe_article/html"),
    "rest_page_missing": Row(path=lambda _: "page/No_such_page"),
    "rest_page_redirect": Row(path=lambda _: "page/Probe_redirect_2"),
    "rest_revision": Row(path=lambda ids: f"revision/{ids['probe 2']}"),
    "rest_revision_bare": Row(path=lambda ids: f"revision/{ids['probe 2']}/bare"),
    "rest_revision_deleted": Row(path=lambda ids: f"revision/{ids['deleted']}", when="deleted"),
    "rest_revision_hidden": Row(path=lambda ids: f"revision/{ids['hidden']}"),
    "rest_revision_hidden_html": Row(path=lambda ids: f"revision/{ids['hidden']}/html"),
    "rest_revision_html": Row(path=lambda ids: f"revision/{ids['probe 2']}/html"),
    "rest_revision_missing": Row(path=lambda _: "revision/99999999"),
    "rest_revision_with_html": Row(path=lambda ids: f"revision/{ids['probe 2']}/with_html"),
    "revisions_501_batch_bot_error": Row(same, ROBOT),
    "revisions_50_batch": Row(some(0, 50)),
    "revisions_51_batch_anon_error": Row(some(0, 51)),
    "revisions_51_batch_bot_ok": Row(some(0, 51), ROBOT),
    "revisions_after_undelete_same_revid": Row(of("deleted")),
    "revisions_big_page": Row(lambda _: {"titles": "Huge 0"}),
    "revisions_existing": Row(of("shown")),
    "revisions_existing_probe_latest": Row(),
    "revisions_maxresultsize_continue_page1": Row(huge),
    "revisions_maxresultsize_continue_page2": Row(
        lambda ids: {**huge(ids), "rvcontinue": str(ids["huge 5"])}
    ),
    "revisions_missing_title": Row(),
    "revisions_mixed_batch": Row(mixed(*MIXED, "suppressed"), when="deleted"),
    "revisions_mixed_batch_fv1": Row(mixed(*MIXED), when="deleted"),
    "revisions_of_deleted_page_badrevids": Row(of("deleted"), when="deleted"),
    "revisions_redirect_resolved": Row(),
    "revisions_revid_0": Row(),
    "revisions_revid_notint": Row(),
    "revisions_same_page_multi_and_dup": Row(of("huge 0", "huge 0", "probe 1", "probe 2", "probe 3")),
    "revisions_suppressed": Row(of("suppressed")),
    "revisions_texthidden": Row(of("hidden")),
    "revisions_texthidden_as_admin": Row(of("hidden"), STEWARD),
    "revisions_texthidden_only": Row(of("hidden"), when="deleted"),
    "siteinfo": Row(),
    "siteinfo_requestid_curtimestamp": Row(),
    "sitematrix_missing": Row(),
    "visible_deleted_as_admin": Row(of("deleted"), STEWARD, when="written anew"),
}

NOT_COMPARED = (".exception.backtrace", ".query.extensions")
"""What PHP says of its own stack; which extensions are installed."""

Made = Mapping[str, tuple[int, Mapping[str, str], Any]]


@pytest.fixture(scope="module")
def made(origin: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Status, headers and body of each."""
    return asyncio.run(_made(tmp_path_factory.mktemp("answers") / "farm", origin, shared_data))


async def _made(folder: Path, origin: Path, shared_data: Path) -> Made:
    answers: dict[str, tuple[int, Mapping[str, str], Any]] = {}
    async with WikiFarm(folder, origin=origin) as farm:
        wiki = farm.wikis[WIKI]
        ids: dict[str, int] = {}

        async def asked(when: str) -> None:
            for name, row in MADE_BY_FIXTURE.items():
                if row.when == when:
                    answers[name] = await _ask(wiki, row, recorded(shared_data, name), ids)

        await _write(wiki, ids)
        everything = "content|comment|user"
        await _hide(wiki, "Hidden things", ids["hidden"], hide="content")
        await _hide(wiki, "Suppressed things", ids["suppressed"], hide=everything, suppress="yes")
        await wiki.act(STEWARD, "delete", title="To delete")
        await asked("deleted")
        await wiki.act(STEWARD, "edit", title="To delete", text="anew")
        await asked("written anew")
        await wiki.act(STEWARD, "delete", title="To delete")
        await wiki.act(STEWARD, "undelete", title="To delete")
        await _hide(wiki, "Hidden things", ids["hidden"], hide=everything)
        await asked("end")
        farm.exceptions.unlink()  # of hidden HTML, a 500 as recorded
    return answers


async def _write(wiki: Wiki, ids: dict[str, int]) -> None:
    async def edit(title: str, text: str, name: str = "", who: str = STEWARD) -> None:
        answer = await wiki.act(who, "edit", title=title, text=text, summary="said [[so]]")
        ids[name or title] = answer["edit"]["newrevid"]

    await edit("Probe article", "'''Probe''' text with ünïcödé 日本語 😀", "probe 1")
    await edit(
        "Probe article",
        "'''Probe''' text<ref>a</ref> [[Category:Test cat]]\n== H ==\n<references/>",
        "probe 2",
    )
    await edit("Probe article", "'''Probe''' text [[Category:Test cat]] end", "probe 3")
    await edit("Category:Test cat", "of tests")
    await edit("Probe redirect 2", "#REDIRECT [[Probe article]]")
    await edit("Hidden things", "one", "hidden")
    await edit("Hidden things", "two", "shown")
    await edit("Suppressed things", "one", "suppressed")
    await edit("Suppressed things", "two", "after it")
    await edit("To delete", "one", "kept")
    await edit("To delete", "two", "deleted")
    for number in range(7):
        await edit(f"Huge {number}", HUGE, f"huge {number}", ROBOT)
    await edit("Batch 0", f"0 {'batch ' * 500}", "batch")
    for number in range(1, 51):
        await edit(f"Batch {number}", f"{number} {'batch ' * 500}")


async def _hide(wiki: Wiki, title: str, revision: int, **what: str) -> None:
    await wiki.act(STEWARD, "revisiondelete", type="revision", target=title, ids=revision, **what)


def recorded(shared_data: Path, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((shared_data / f"mediawiki-1.39/api/{name}.json").read_text("utf-8"))
    return entry


async def _ask(
    wiki: Wiki, row: Row, entry: Mapping[str, Any], ids: Ids
) -> tuple[int, Mapping[str, str], Any]:
    request = entry["request"]
    url = request if isinstance(request, str) else request["url"]
    path, headers = row.path(ids), dict(row.headers or {})
    if path:
        if headers:
            headers["If-None-Match"] = (await wiki.ask(f"/w/rest.php/v1/{path}")).headers["ETag"]
        reply = await wiki.ask(f"/w/rest.php/v1/{path}", who=row.who, headers=headers)
    else:
        params = {**dict(parse_qsl(urlsplit(url).query)), **row.params(ids)}
        post = not isinstance(request, str) and request["method"] == "POST"
        reply = await wiki.ask("/w/api.php", params, who=row.who, post=post)
    try:
        body = json.loads(reply.body)
    except ValueError:
        body = reply.body.decode()
    return reply.status, reply.headers, body


def shape(value: Any) -> Any:
    """Names and types; what is keyed by numbers, and what is listed, has one shape for all of it."""
    if isinstance(value, dict):
        if value and all(name.lstrip("-").isdigit() for name in value):
            return {"#": merged([shape(inner) for inner in value.values()])}
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [merged([shape(inner) for inner in value])]
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


def merged(shapes: list[Any]) -> Any:
    if shapes and all(isinstance(one, dict) for one in shapes):
        names = dict.fromkeys(name for one in shapes for name in one)
        return {name: merged([one[name] for one in shapes if name in one]) for name in names}
    if shapes and all(isinstance(one, list) for one in shapes):
        return [merged([inner for one in shapes for inner in one if inner is not None])]
    return shapes[0] if shapes else None


def differences(made: Any, known: Any, path: str = "") -> list[str]:
    if isinstance(made, dict) and isinstance(known, dict):
        return [
            difference
            for name in dict.fromkeys((*made, *known))
            for difference in (
                [f"{path}.{name} {'is new' if name in made else 'is absent'}"]
                if (name in made) != (name in known)
                else differences(made[name], known[name], f"{path}.{name}")
            )
        ]
    if isinstance(made, list) and isinstance(known, list):
        return differences(made[0], known[0], f"{path}[]")
    return [] if made == known or None in (made, known) else [f"{path} is {made}, was {known}"]


def test_a_difference_of_shape_is_found() -> None:
    """A key more, a key less, another type, wherever they are."""
    known = {"query": {"pages": [{"pageid": 1}, {"title": "x"}], "badrevids": {"7": {"missing": True}}}}
    like_it = {"query": {"pages": [{"title": "y", "pageid": 2}], "badrevids": {"8": {"missing": True}}}}
    other = {"query": {"pages": [{"title": "y", "pageid": "2", "ns": 0}], "badrevids": {"8": {}}}}
    assert differences(shape(like_it), shape(known)) == []
    assert differences(shape(other), shape(known)) == [
        ".query.pages[].pageid is str, was number",
        ".query.pages[].ns is new",
        ".query.badrevids.#.missing is absent",
    ]


def test_every_recorded_answer_has_a_row(shared_data: Path) -> None:
    """None was recorded that neither the fixture nor the sandbox can make."""
    files = (shared_data / "mediawiki-1.39/api").glob("*.json")
    assert {file.stem for file in files} == MADE_BY_FIXTURE.keys()


@pytest.mark.parametrize("name", MADE_BY_FIXTURE)
def test_the_fixture_answers_as_recorded(made: Made, shared_data: Path, name: str) -> None:
    """Status, error code, and the shape of the body."""
    known = recorded(shared_data, name)
    status, headers, body = made[name]
    assert status == known["status"]
    if "headers" in known:
        assert headers.get("MediaWiki-API-Error") == known["headers"].get("MediaWiki-API-Error")
    if isinstance(body, str):
        assert body[:100] == known["body"][:100]
        return
    found = differences(shape(body), shape(known["body"]))
    assert [difference for difference in found if not difference.startswith(NOT_COMPARED)] == []
    if "error" in body:
        assert body["error"]["info"] == known["body"]["error"]["info"]


# ── what the service asks, of both ─────────────────────────────────────────────────────────────

DEEDS: list[dict[str, Any]] = [
    {"action": "create", "title": "Page", "text": "one"},
    {"action": "edit", "title": "Page", "text": "two"},
    {"action": "edit", "title": "Page", "text": "three"},
    {"action": "hide", "title": "Page", "revision": 1, "hide": ["text", "comment", "user"]},
    {"action": "create", "title": "Moved", "text": "one"},
    {"action": "move", "title": "Moved", "to": "There"},
    {"action": "create", "title": "Gone", "text": "one"},
    {"action": "delete", "title": "Gone"},
    {"action": "protect", "title": "Page"},
    {
        "action": "create",
        "title": "Filed",
        "text": "[[Category:B]] {{One}} {{Two|x}} {{Talk:Page}} [[category:a c]]",
    },
    {
        "action": "create",
        "title": "Talk:Filed",
        "text": "{{:Page}} [[Category:C]][[Category:A]][[Category:B]]",
    },
    {"action": "create", "title": "Bare", "text": "nothing"},
    *({"action": "create", "title": f"To {n}", "text": "#REDIRECT [[Filed]]"} for n in (2, 1, 3)),
    {"action": "create", "title": "User:Ann/To", "text": "#REDIRECT [[Talk:Filed]]"},
    {"action": "create", "title": "Template:One", "text": "one"},
]


@dataclass(frozen=True)
class Asker:
    """Either of them: what it has, and how it is asked."""

    revisions: Mapping[str, list[int]]
    pages: Mapping[str, int]
    ask: Callable[[Mapping[str, str]], Awaitable[Any]]


Question = Callable[[Asker], Mapping[str, str]]


def by_revision(asker: Asker) -> Mapping[str, str]:
    keys = [*asker.revisions["Page"], *asker.revisions["There"], *asker.revisions["Gone"], 99_999_999]
    return query.pages("revision", keys, maxlag=5, with_site=False)


def by_title(asker: Asker) -> Mapping[str, str]:  # noqa: ARG001 - titles are the same on both
    keys = ["Page", "Moved", "There", "Gone", "Talk:Page"]
    return query.pages("title", keys, maxlag=5, with_site=False)


def by_page(asker: Asker) -> Mapping[str, str]:
    keys = [asker.pages["Page"], asker.pages["Gone"], 99_999_999]
    return query.pages("page", keys, maxlag=5, with_site=False)


def with_lists(asker: Asker) -> Mapping[str, str]:
    return query.pages("title", [*asker.pages, "Nope"], maxlag=5, with_site=False, lists=PAGE_LISTS)


def with_site(asker: Asker) -> Mapping[str, str]:
    return query.pages("title", [*asker.pages], maxlag=5, with_site=True)


def the_log(title: str) -> Question:
    return lambda _: (
        query.log_entries(title, int(time.time() * 1000), maxlag=5, with_site=False)
        | {
            "lestart": "2099-01-01T00:00:00Z",
            "leend": "2000-01-01T00:00:00Z",
        }
    )


ONLY_THE_WIKI_SAYS = frozenset({".query.general", ".query.rightsinfo", ".query.namespaces"})
"""Beyond what the service reads; that is compared by itself."""


@pytest.mark.parametrize(
    "question",
    [by_revision, by_title, by_page, with_lists, with_site, the_log("Gone"), the_log("Moved")],
    ids=["revisions", "titles", "pages", "lists", "site", "log of a deletion", "log of a move"],
)
async def test_the_sandbox_answers_the_service_as_a_real_wiki_does(
    farm: WikiFarm, question: Question
) -> None:
    """After the same deeds, to the service's own requests: the same keys, of the same types, for each thing
    that was asked.
    """
    real = await _real(farm.wikis[WIKI])
    async with _sandbox() as invented:
        told, played = await real.ask(question(real)), await invented.ask(question(invented))
    found = differences(shape(played), shape(told))
    assert [one for one in found if not (one.startswith(tuple(ONLY_THE_WIKI_SAYS)) and "absent" in one)] == []


LISTED = ("Filed", "Talk:Filed", "Bare", "Page", "There", "To 1")
Step = tuple[list[str], dict[str, dict[str, list[str]]]]
"""What is to be continued, and by title what was listed."""


async def test_lists_are_cut_and_continued_as_by_a_real_wiki(farm: WikiFarm) -> None:
    """By the service's own requests with a small limit: step by step the same entries in the same order, the
    same lists left, every page told each time with its newest revision, and no text again.
    """
    real = await _real(farm.wikis[WIKI])
    await farm.settled()
    async with _sandbox() as invented:
        for by in ("revision", "title", "page"):
            for titles in (LISTED, ("Filed", "Bare"), ("Talk:Filed",)):
                told, played = await _steps(real, by, titles), await _steps(invented, by, titles)
                assert played == told, (by, titles)
                assert len(told) > 1


async def _steps(asker: Asker, by: Any, titles: tuple[str, ...]) -> list[Step]:
    keys: list[Any] = {
        "revision": [asker.revisions[title][-1] for title in titles],
        "title": [*titles, "Nope"],
        "page": [asker.pages[title] for title in titles],
    }[by]
    small = {f"{prefix}limit": "2" for prefix in PREFIXES.values()}
    params = query.pages(by, keys, maxlag=5, with_site=False, lists=PAGE_LISTS)
    steps: list[Step] = []
    while True:
        limits = {name: value for name, value in small.items() if name in params}
        body = await asker.ask(params | limits)
        pages = [page for page in body["query"]["pages"] if "pageid" in page]
        assert {page["title"] for page in pages} == set(titles)
        assert all("lastrevid" in page and ("revisions" in page) == (not steps) for page in pages)
        listed = {
            page["title"]: {name: [e["title"] for e in page[name]] for name in PAGE_LISTS if name in page}
            for page in pages
        }
        more = left_of(PAGE_LISTS, body.get("continue", {}))
        assert more or "continue" not in body
        steps.append((sorted(more), listed))
        if not more:
            return steps
        params = query.rest_of_lists(by, keys, more, maxlag=5)


async def _real(wiki: Wiki) -> Asker:
    for deed in DEEDS:
        title = deed["title"]
        match deed["action"]:
            case "create" | "edit":
                await wiki.act(WRITER, "edit", title=title, text=deed["text"])
            case "move":
                await wiki.act(STEWARD, "move", **{"from": title, "to": deed["to"]})
            case "delete":
                await wiki.act(STEWARD, "delete", title=title)
            case "protect":
                await wiki.act(STEWARD, "protect", title=title, protections="edit=sysop")
            case "hide":
                [(older,)] = wiki.rows("SELECT rev_id FROM revision ORDER BY rev_id LIMIT 1 OFFSET 1")
                await _hide(wiki, title, older, hide="content|comment|user")
    revisions: dict[str, list[int]] = {}
    pages: dict[str, int] = {}
    rows = wiki.rows(
        "SELECT page_title, page_namespace, page_id, rev_id FROM revision JOIN page ON rev_page = page_id"
        " UNION SELECT ar_title, ar_namespace, ar_page_id, ar_rev_id FROM archive ORDER BY rev_id"
    )
    for name, namespace, page, revision in rows:
        title = f"{NAMESPACES[namespace]}:{name}" if namespace else name
        title = title.replace("_", " ")
        revisions.setdefault(title, []).append(revision)
        pages[title] = page

    async def ask(params: Mapping[str, str]) -> Any:
        return json.loads((await wiki.ask("/w/api.php", params)).body)

    return Asker(revisions, pages, ask)


@asynccontextmanager
async def _sandbox() -> AsyncIterator[Asker]:
    options = SandboxOptions(seed=1, edits_per_s=0, pages_per_wiki=1, canary_every_s=0)
    agent = {"User-Agent": "proof/1 (proof@example.org)"}
    async with Sandbox(options) as sandbox, aiohttp.ClientSession(sandbox.endpoint, headers=agent) as session:
        revisions: dict[str, list[int]] = {}
        pages: dict[str, int] = {}
        for deed in DEEDS:
            request = {"wiki": "ensandbox", **deed}
            if "revision" in request:
                request["revision"] = revisions[deed["title"]][request["revision"]]
            async with session.post("/sandbox/edit", json=request) as answer:
                assert answer.status == 200, await answer.text()
                done = await answer.json()
            title = deed.get("to", deed["title"])
            if deed["action"] in {"create", "edit", "move"}:
                revisions.setdefault(title, []).append(done["revision"])
                pages[title] = done["page_id"]

        async def ask(params: Mapping[str, str]) -> Any:
            async with session.get(
                "/w/api.php", params=dict(params), headers={"Host": "en.sandbox.example"}
            ) as answer:
                return await answer.json()

        yield Asker(revisions, pages, ask)
