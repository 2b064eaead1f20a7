"""Dead letters as an operator meets them: what failed is seen, tried again, and nothing comes out twice."""

import asyncio
import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from harness.feed import Feed
from harness.sandboxed import live_config
from harness.service import Service, free_port
from recording_setup import KEYS, write_partners
from test_mirror import Editor, Page, apply, held, wiki_of

from streamer.config import LogSettings, Settings
from streamer.log.base import Record, partition_of
from streamer.log.claims import locked
from streamer.log.local import LocalLog
from streamer.model import Change, DeadLetter, Topics, encode_value
from streamer.runtime import topic_specs
from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

SPEAKING, SILENT = "ensandbox", "desandbox"
CONFIG = '[log]\npath = "log.db"\n'
TOPICS = Topics()
DEFERRED_S = 160.0
"""A failing host is asked at pauses of 1, 2, 4 … 60 s; a change hears of it with its own fourth failure,
or with the first after a minute.
"""


async def said(folder: Path, *words: str, config: str = CONFIG, code: int = 0) -> tuple[str, str]:
    """`streamer deadletter WORDS…` to its end: standard output, and standard error without log events."""
    folder.mkdir(exist_ok=True)
    async with Service(folder, config, "deadletter", *words) as service:
        assert await service.wait() == code, service.lines
        assert not any("Traceback" in line for line in service.lines)
        return service.stdout, "\n".join(line for line in service.lines if not line.startswith("{"))


def letter(number: int, code: str = "origin_unavailable", **over: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "identifier": f"cause-{number}",
        "kind": "edit",
        "wiki": "enwiki",
        "server_name": "en.wikipedia.org",
        "title": f"Title {number}",
        "namespace": 0,
        "edited_ms": 1_000,
        "upstream_ms": 1_000,
        "revision": number,
    }
    change = Change(**{**fields, **over})
    return DeadLetter(change, "enrich", code, 5, 1_800_000_000_000 + number * 60_000)


async def write(file: Path, *letters: DeadLetter | bytes) -> None:
    """A log that holds them."""
    settings = Settings(log=LogSettings(path=str(file)))
    async with LocalLog(file) as log:
        await log.ensure_topics(topic_specs(settings))
        records = []
        for each in letters:
            wiki = "enwiki" if isinstance(each, bytes) else each.change.wiki
            value = each if isinstance(each, bytes) else encode_value(each)
            records.append(Record(TOPICS.deadletter, partition_of(wiki, 10), wiki, value))
        await log.append(records)


async def changes(file: Path) -> list[dict[str, Any]]:
    """What lies in the changes topic."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM records WHERE lane IN (SELECT lanes.id FROM lanes JOIN topics"
            " ON topics.id = topic WHERE name = ?)",
            (TOPICS.changes,),
        ).fetchone()
    connection.close()
    found: list[dict[str, Any]] = []
    async with LocalLog(file) as log:
        bounds = await log.all_bounds(TOPICS.changes)
        from streamer.log.base import TopicPartition  # noqa: PLC0415 - one use

        starts = {TopicPartition(TOPICS.changes, p): b.earliest for p, b in enumerate(bounds)}
        async with log.reader(starts) as reader:
            while len(found) < count:
                found += [json.loads(record.value or b"") for record in await reader.read()]
    return found


async def test_a_list_tells_each_letter_and_sums_up(tmp_path: Path) -> None:
    """In the order of failure; filters cut it; what a title holds does not reach the terminal; one that can't
    be read is said and breaks nothing.
    """
    await write(
        tmp_path / "log.db",
        letter(3, kind="delete", title="Evil \x1b[2Jtitle\u202e", revision=0, page_id=7),
        letter(1),
        letter(2, "deferred", wiki="dewiki"),
        b"{not a letter",
    )
    out, err = await said(tmp_path, "list")
    first, second, third, _, total, *codes = out.splitlines()
    assert first.startswith("2027-01-15T08:01:00Z  enwiki  edit  origin_unavailable  5 attempts  revision 1")
    assert "dewiki  edit  deferred  5 attempts  revision 2  waits  Title 2" in second
    assert "delete" in third
    assert "page 7" in third
    assert "Evil \ufffd[2Jtitle\ufffd" in third
    assert total == "3 dead letters"
    assert [line.split() for line in codes] == [
        ["2", "origin_unavailable"],
        ["1", "deferred", "(1", "wait)"],
    ]
    assert err == "1 dead letters can't be read: by another version?"
    for words, wanted in (
        (["--wiki", "de*"], [2]),
        (["--code", "origin_unavailable", "--code", "deferred"], [1, 2, 3]),
        (["--kind", "delete"], [3]),
        (["--since", "2027-01-15T08:02:00Z"], [2, 3]),
        (["--until", "2027-01-15T09:02:00+01:00"], [1]),
        (["--limit", "1"], [3]),
        (["--code", "textmissing"], []),
    ):
        out, err = await said(tmp_path, "list", "--json", *words)
        found = [json.loads(line) for line in out.splitlines()]
        assert [entry["identifier"] for entry in found] == [f"cause-{number}" for number in wanted]
        assert ("no dead letters match" in err) is not wanted
    out, _ = await said(tmp_path, "list", "--json", "--kind", "delete")
    assert json.loads(out) == {
        "failed": "2027-01-15T08:03:00Z",
        "wiki": "enwiki",
        "kind": "delete",
        "title": "Evil \x1b[2Jtitle\u202e",
        "namespace": 0,
        "page_id": 7,
        "revision": 0,
        "identifier": "cause-3",
        "stage": "enrich",
        "code": "origin_unavailable",
        "attempts": 5,
        "replayed": 0,
        "waits": False,
        "partition": partition_of("enwiki", 10),
        "offset": 0,
    }


async def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """`streamer deadletter list | head -1`."""
    await write(tmp_path / "log.db", *(letter(number) for number in range(3_000)))
    (tmp_path / "streamer.toml").write_text(CONFIG)
    import sys  # noqa: PLC0415 - one use

    process = await asyncio.create_subprocess_shell(
        f'"{sys.executable}" -m streamer deadletter list | head -1',
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out.count(b"\n") == 1
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


async def test_a_replay_is_remembered(tmp_path: Path) -> None:
    """A dry run does nothing; a replay appends refreshes, once; again only when asked, as new events. What
    replays by itself and what can't be replayed is left out, and said.
    """
    file = tmp_path / "log.db"
    await write(
        file,
        *(letter(number) for number in range(1, 251)),
        letter(300, "deferred"),
        letter(301, "change_unreadable"),
        letter(302, "textmissing", wiki="dewiki"),
    )
    out, _ = await said(tmp_path, "replay", "--all", "--dry-run")
    assert out.startswith("would replay 251 dead letters; left out: 1 are deferred")
    assert "1 can't be replayed" in out
    assert await changes(file) == []
    out, _ = await said(tmp_path, "replay", "--code", "textmissing")
    assert out == "replays 1 dead letters\n"
    out, _ = await said(tmp_path, "replay", "--all")
    assert out.startswith(
        "replays 250 dead letters; left out: 1 were replayed before (--again), 1 are deferred"
    )
    made = await changes(file)
    assert {(c["kind"], c["cause"], c["replays"]) for c in made} == {("refresh", "replay", "edit")}
    assert len({c["identifier"] for c in made}) == len(made) == 251
    out, _ = await said(tmp_path, "replay", "--all")
    assert out.startswith("replays 0 dead letters; left out: 251 were replayed before")
    assert len(await changes(file)) == 251
    out, _ = await said(tmp_path, "replay", "--wiki", "dewiki", "--again")
    assert out == "replays 1 dead letters\n"
    assert len({c["identifier"] for c in await changes(file)}) == 252
    out, _ = await said(tmp_path, "list", "--json")
    assert sorted(json.loads(line)["replayed"] for line in out.splitlines()) == [0, 0, *[1] * 250, 2]
    out, _ = await said(tmp_path, "list", "--wiki", "dewiki")
    assert "replayed  Title 302" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("list", "--since", "yesterday"), "--since: 'yesterday' is no RFC 3339 time"),
        (("list", "--until", "2026-01-01T00:00:00"), "--until: '2026-01-01T00:00:00' has no time zone"),
        (
            ("list", "--since", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"),
            "--until: is not after --since",
        ),
        (("list", "--wiki", "en.wikipedia.org"), '--wiki: "en.wikipedia.org" can match no wiki'),
        (("list", "--code", "nonsense"), "--code: nonsense is no code that is known; there are textmissing"),
        (("list", "--kind", "nonsense"), "invalid choice: 'nonsense'"),
        (("list", "--limit", "0"), "'0' is no number above 0"),
        (("replay",), "say which: --wiki, --code"),
        (("replay", "--limit", "5"), "say which: --wiki, --code"),
        (("replay", "--all", "--wiki", "enwiki"), "does not go with a filter"),
        ((), "required: ACTION"),
    ],
)
async def test_mistakes_are_explained(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    """Exit 2, what is wrong, and nothing is done."""
    await write(tmp_path / "log.db", letter(1, "textmissing"))
    out, err = await said(tmp_path, *words, code=2)
    assert out == ""
    assert why in err


@pytest.mark.parametrize("action", [("list",), ("replay", "--all")])
async def test_a_log_that_is_none(tmp_path: Path, action: tuple[str, ...]) -> None:
    """Missing: nothing is made. Of a newer version, of another prefix, of another program: said. Empty: said,
    and no error.
    """
    _, err = await said(tmp_path, *action, code=2)
    assert "log.db: there is no log yet" in err
    assert not (tmp_path / "log.db").exists()
    await write(tmp_path / "log.db")
    out, err = await said(tmp_path, *action)
    assert out + err in {"no dead letters", "replays 0 dead letters\n"}
    _, err = await said(tmp_path, *action, config=f'{CONFIG}prefix = "other"\n', code=2)
    assert "there is no topic other.deadletter.v1" in err
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    _, err = await said(tmp_path, *action, code=2)
    assert "written by a newer version" in err
    (tmp_path / "log.db").write_text("something else, and long enough to be looked at" * 99)
    for beside in ("log.db-wal", "log.db-shm"):
        (tmp_path / beside).unlink(missing_ok=True)
    _, err = await said(tmp_path, *action, code=1)
    assert "is not a log" in err


async def test_two_replays_at_once(tmp_path: Path) -> None:
    """The second is refused and names the first; looking is free."""
    file = tmp_path / "log.db"
    await write(file, letter(1))
    with locked(Path(f"{file}.replay.lock")):
        _, err = await said(tmp_path, "replay", "--all", code=2)
        assert "held by the process" in err
        await said(tmp_path, "replay", "--all", "--dry-run")
        await said(tmp_path, "list")
    assert await changes(file) == []


async def test_what_an_operator_repairs_comes_out(tmp_path: Path) -> None:
    """A host was not allowed: its edits are dead letters. Once it is, they are replayed beside the running
    service, come out as refreshes, and a restart neither forgets nor repeats anything.
    """
    write_partners(tmp_path / "partners.toml")
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=0.0)) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        right = live_config(sandbox)
        wrong = right.replace('["*.sandbox.example"]', '["*.elsewhere.example"]')
        async with Service(tmp_path, wrong) as service:
            await service.event("connected to the stream")
            for number in range(7):
                edit = {"wiki": "ensandbox", "title": f"Page {number}", "text": f"Text {number}."}
                async with session.post(f"{sandbox.endpoint}/sandbox/edit", json=edit) as answer:
                    assert answer.status == 200
            await service.until(lambda m: m.get(outcome("enrich", "deadletter")) == 7)
            assert await service.terminate() == 0
        async with Service(tmp_path, right) as service:
            await service.event("connected to the stream")
            beside = right.replace('"streamer.db"', f'"{tmp_path / "streamer.db"}"')
            out, _ = await said(
                tmp_path / "beside",
                "replay",
                "--code",
                "host_not_allowed",
                "--since",
                "2020-01-01T00:00:00Z",
                config=beside,
            )
            assert out == "replays 7 dead letters\n"
            await service.until(lambda m: m.get(outcome("enrich", "published")) == 7)
            await service.kill()
            await service.start()
            await service.event("connected to the stream")
            admitted = {"source": 7, "replay": 7, "enrich": 14}
            await service.until(
                lambda m: {role: m.get(outcome(role, "admitted")) for role in admitted} == admitted
            )
            url = f"http://127.0.0.1:{await service.port()}/v2/articles"
            found: dict[str, str] = {}
            stream = Feed(url, KEYS["everything"], since="2020-01-01T00:00:00Z").events()
            async with asyncio.timeout(30):
                async for event in stream:
                    if event.name == "message":
                        article: Any = event.article
                        assert article["event"]["kind"] == "refresh"
                        found[article["name"]] = article["article_body"]["wikitext"]
                        if len(found) == 7:
                            break
            await stream.aclose()
            assert found == {f"Page {number}": f"Text {number}." for number in range(7)}


def outcome(role: str, name: str) -> str:
    return f'streamer_committed_changes_total{{outcome="{name}",role="{role}",scope=""}}'


def waiting(metrics: dict[str, float]) -> float:
    return sum(v for k, v in metrics.items() if k.startswith("streamer_deferred_waiting_letters"))


@pytest.mark.timeout(600)
async def test_a_wiki_that_comes_back_is_caught_up_with(tmp_path: Path, rng: random.Random) -> None:
    """One of two wikis answers nothing but errors for longer than is waited for: its changes are deferred
    while the other goes on; the service is killed in the silence and again while they replay. In the end a
    partner's mirror is both wikis, and the sums are equal.
    """
    write_partners(tmp_path / "partners.toml")
    port = free_port()
    names = (SPEAKING, SILENT)
    mirrors: dict[str, dict[int, Page]] = {name: {} for name in names}
    async with (
        Sandbox(SandboxOptions(seed=7, edits_per_s=0.001)) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        text = live_config(sandbox).replace("port = 0", f"port = {port}", 1)
        text = text.replace("[log]", "missing_retry_s = 0.5\ndefer_after_s = 2.0\n[log]")
        async with Service(tmp_path, text) as service, asyncio.TaskGroup() as group:
            stop = asyncio.Event()
            feed = Feed(
                f"http://127.0.0.1:{port}/v2/articles", KEYS["everything"], since="2020-01-01T00:00:00Z"
            )

            async def follow() -> None:
                async for event in feed.articles(stop):
                    article: Any = event.article
                    if article["is_part_of"]["identifier"] in mirrors:
                        apply(mirrors[article["is_part_of"]["identifier"]], article)

            async def live() -> None:
                """The other wiki, all the time: where no wiki answers, none is deferred."""
                while True:
                    await editors[SPEAKING].act()
                    await asyncio.sleep(rng.uniform(0.1, 0.4))

            await service.event("connected to the stream")
            following = group.create_task(follow())
            editors = {name: Editor(session, sandbox.endpoint, rng, name) for name in names}
            for _ in range(30):
                await editors[SILENT].act()
            assert await settled(sandbox, mirrors, SILENT)
            speaking = group.create_task(live())
            sandbox.faults.add(Fault("status", wiki=SILENT))
            for _ in range(12):
                await editors[SILENT].act()
            await service.until(lambda metrics: waiting(metrics) >= 1, timeout_s=DEFERRED_S)
            await service.kill()
            await service.start()
            for _ in range(6):
                await editors[SILENT].act()
            await service.until(lambda metrics: waiting(metrics) >= 2, timeout_s=DEFERRED_S)
            speaking.cancel()
            assert await settled(sandbox, mirrors, SPEAKING), "the other wiki goes on"
            sandbox.faults.clear()
            await service.until(lambda metrics: metrics.get(outcome("deferred", "replayed"), 0) > 0)
            await service.kill()
            await service.start()
            for _ in range(6):
                await editors[SILENT].act()
            for name in names:
                assert await settled(sandbox, mirrors, name), name

            def is_balanced(metrics: dict[str, float]) -> bool:
                admitted = {
                    role: metrics.get(outcome(role, "admitted"), -1)
                    for role in ("source", "enrich", "replay")
                }
                return (
                    waiting(metrics) == 0
                    and admitted["enrich"] == admitted["source"] + admitted["replay"]
                    and admitted["replay"] == metrics.get(outcome("deferred", "replayed"))
                )

            await service.until(is_balanced)
            outcomes = await service.committed("enrich")
            assert outcomes.pop("admitted") == sum(outcomes.values())
            beside = text.replace('"streamer.db"', f'"{tmp_path / "streamer.db"}"')
            out, _ = await said(tmp_path / "beside", "list", "--json", config=beside)
            letters = [json.loads(line) for line in out.splitlines()]
            assert len(letters) == outcomes["deadletter"] >= 2
            deferred = [entry for entry in letters if entry["code"] == "deferred"]
            assert {entry["wiki"] for entry in deferred} == {SILENT}
            assert {(entry["replayed"], entry["waits"]) for entry in deferred} == {(1, False)}
            stop.set()
            following.cancel()


async def settled(sandbox: Sandbox, mirrors: dict[str, dict[int, Page]], name: str) -> bool:
    """Whether the mirror of this wiki becomes equal to it."""
    wanted = wiki_of(sandbox, name)
    try:
        async with asyncio.timeout(60):
            while held(mirrors[name], wanted) != wanted:
                await asyncio.sleep(0.1)
    except TimeoutError:
        got = held(mirrors[name], wanted)
        print({page: (got.get(page), wanted[page]) for page in wanted if got.get(page) != wanted[page]})
        return False
    return True
