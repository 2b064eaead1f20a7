"""`corpus follow`, `get` and `status` as processes, on a feed that a server on loopback gives."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from harness.scripted import PREAMBLE, Answer, Scripted, article, event
from harness.service import free_port

from consumers.cli import main
from consumers.corpus.lock import feeding
from consumers.corpus.state import State
from consumers.errors import StateError

ROOT = Path(__file__).resolve().parents[3]
KEY = "wrs_secretsecretsecret"
DEADLINE_S = 90
Process = asyncio.subprocess.Process


def removal(number: int, page: int) -> bytes:
    made = article(number) | {"identifier": page, "article_body": {}}
    told = made | {"event": {**made["event"], "type": "delete", "kind": "delete"}}  # type: ignore[dict-item]
    return f"id: id-{number}\ndata: {json.dumps(told)}\n\n".encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corpus.db"


async def start(path: Path, *arguments: str, stdout: int = asyncio.subprocess.PIPE) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from consumers.cli import main; main()", "--corpus", str(path), *arguments,
        stdout=stdout, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ".", "CORPUS_KEY": KEY},
    )  # fmt: skip


async def ran(path: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    async with asyncio.timeout(DEADLINE_S):
        process = await start(path, *arguments)
        out, err = await process.communicate()
    assert process.returncode is not None
    assert "Traceback" not in err.decode()
    assert KEY not in out.decode() + err.decode()
    return process.returncode, out.decode(), err.decode()


def called(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The same within this process, of commands that need no signals."""
    with pytest.raises(SystemExit) as ended:
        main(["--corpus", str(path), *arguments])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


@asynccontextmanager
async def following(path: Path, server: Scripted, *more: str, **how: int) -> AsyncIterator[Process]:
    async with asyncio.timeout(DEADLINE_S):
        process = await start(path, "follow", "--url", server.url, "--interval", "0.1", *more, **how)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def held(*events: bytes) -> list[Answer]:
    return [Answer(PREAMBLE + b"".join(events), then="hold")]


async def until(process: Process, events: int) -> dict[str, Any]:
    """The first line that says that so many are committed."""
    assert process.stdout
    async for line in process.stdout:
        said: dict[str, Any] = json.loads(line)
        if said["events"] >= events:
            return said
    raise AssertionError("it ended")


async def test_a_feed_is_followed_until_nothing_comes_any_more(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then `get` and `status` show what came; what was withdrawn is not there, and they say so."""
    texts = [event(1, "An ''article''."), event(2, "Another"), removal(3, page=2)]
    async with Scripted(held(*texts)) as server:
        code, out, err = await ran(
            path, "follow", "--url", server.url, "--until-idle", "1", "--interval", "0.2"
        )
    assert code == 0, err
    last = json.loads(out.splitlines()[-1])
    assert (last["final"], last["events"], last["rows_changed"], last["gone"]) == ("idle", 3, 3, 1) or (
        last["final"], last["events"], last["rows_changed"],
    ) == ("idle", 3, 3)  # fmt: skip  # gone where the removal came in a commit of its own
    assert "article" not in out + err

    assert called(path, capsys, "get", "enwiki", "Page 1") == (0, "An article.\n", "")
    assert called(path, capsys, "get", "enwiki", "1", "--wikitext") == (0, "An ''article''.\n", "")
    _, out, _ = called(path, capsys, "get", "enwiki", "Page_1", "--json")
    assert (json.loads(out)["title"], json.loads(out)["text"]) == ("Page 1", "An article.")
    code, out, err = called(path, capsys, "get", "enwiki", "2")
    assert (code, out) == (1, "")
    assert "deleted" in err
    for named in ("Page 2", "Page 9", "9", "9" * 30):
        code, _, err = called(path, capsys, "get", "enwiki", named)
        assert code == 1
        assert "not in this corpus" in err

    code, out, _ = called(path, capsys, "status", "--json")
    status = json.loads(out)
    assert code == 0
    nothing_read = {"bootstrap": "none", "hole": None, "namespaces": None}
    assert status["wikis"] == {"enwiki": {"live": 1, "gone": 1} | nothing_read}
    assert status["feeds"]["sse:0-9"]["position"] == "id-3"
    assert status["freshness"]["hour"]["events"] == 3
    assert status["freshness"]["hour"]["p99_s"] > 0
    code, out, _ = called(path, capsys, "status")
    assert code == 0
    assert "enwiki: 1 pages, 1 tombstones" in out


async def test_a_signal_stops_it_in_order(path: Path) -> None:
    """With exit code 0 and a last line; what it said is committed, and the next start goes on behind it."""
    answers = held(*[event(each, "text") for each in range(1, 31)])
    async with Scripted(answers) as server, following(path, server) as process:
        await until(process, 30)
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert process.returncode == 0, err
        assert json.loads(out.splitlines()[-1])["final"] == "stopped"
        async with following(path, server, "--until-idle", "0.5") as again:
            await again.communicate()
        assert server.requests[-1].headers["last-event-id"] == "id-30"
    with State(path) as state:
        assert state.position("sse:0-9") == "id-30"
        assert len(list(state.pages("enwiki"))) == 30


async def test_one_corpus_is_fed_by_one_process(path: Path) -> None:
    """The second one says which is the first; reading goes on beside. It may once the first has ended."""
    async with Scripted(held(event(1, "text"))) as server, following(path, server) as first:
        await until(first, 1)
        code, _, err = await ran(path, "follow", "--url", server.url)
        assert code == 2
        assert f"process already ({first.pid})" in err
        with pytest.raises(StateError), feeding(path):
            pass
        with State(path) as beside:
            assert beside.position("sse:0-9") == "id-1"
        first.kill()
        await first.wait()
        with feeding(path):
            pass


async def test_metrics_tell_what_was_committed(path: Path) -> None:
    """On a port that the log names."""
    answers = held(event(1, "text"), event(2, "more"), removal(3, page=1))
    async with Scripted(answers) as server, following(path, server, "--metrics-port", "0") as process:
        assert process.stderr
        url = ""
        while not url:
            url = json.loads(await process.stderr.readline()).get("url", "")
        await until(process, 3)
        text = (await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())).decode()
    for line in (
        'corpus_events_total{feed="sse:0-9"} 3.0',
        "corpus_rows_changed_total 3.0",
        "corpus_freshness_seconds_count 3.0",
        "corpus_commits_total ",
        "corpus_commit_seconds_count ",
        "corpus_lag_seconds ",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([Answer(b'{"title": "no"}', status=401)], "start again"),
        ([Answer(b'{"title": "gone"}', status=410)], "corpus bootstrap"),
    ],
)
async def test_what_no_waiting_mends_is_said_with_what_to_do(
    path: Path, answers: Sequence[Answer], says: str
) -> None:
    """And ends it with exit code 1."""
    async with Scripted(answers) as server:
        code, out, err = await ran(path, "follow", "--url", server.url, "--since", "2026-11-21T12:00:00Z")
    assert code == 1
    assert says in err
    assert json.loads(out.splitlines()[-1])["final"] == "failed"


async def test_a_terminal_is_shown_a_table(path: Path) -> None:
    """That lives until it is stopped."""
    ours, theirs = pty.openpty()
    shown = b""
    try:
        async with (
            Scripted(held(event(1, "text"))) as server,
            following(path, server, stdout=theirs) as process,
        ):
            while b"enwiki" not in shown:
                shown += await asyncio.to_thread(os.read, ours, 65_536)
            process.send_signal(signal.SIGINT)
            reading = asyncio.create_task(process.communicate())
            while b"stopped: 1 events" not in shown:
                shown += await asyncio.to_thread(os.read, ours, 65_536)
            await reading
            assert process.returncode == 0
    finally:
        os.close(ours)
        os.close(theirs)


def test_commands_name_a_corpus_that_is_not_there(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And make none."""
    for command in (["get", "enwiki", "1"], ["status"]):
        code, _, err = called(path, capsys, *command)
        assert code == 2
        assert "there is no corpus" in err
    assert not path.exists()


def test_a_command_loads_no_other_commands_libraries() -> None:
    """`get` needs neither a server of metrics nor a client of Kafka; help is of all."""
    script = (
        "import sys; from consumers.cli import main\n"
        "try: main(['--corpus', '/nowhere/corpus.db', 'get', 'enwiki', '1'])\n"
        "except SystemExit: print(sorted({'aiokafka', 'rich', 'pyarrow', 'lance'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert process.stdout == "[]\n"


def test_a_start_that_was_ended_before_all_feeds_began(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has a position, two have none, as after a kill or a refusal: the same command goes on, these from
    where they were to begin. Another set of feeds is refused as ever.
    """

    def follow(connections: int) -> tuple[int, str, str]:
        url = f"http://127.0.0.1:{free_port()}"
        asked = ("follow", "--url", url, "--connections", str(connections), "--until-idle", "0.2", "--json")
        return called(path, capsys, *asked)

    monkeypatch.setenv("CORPUS_KEY", KEY)
    before = datetime.now(UTC)
    assert follow(3)[0] == 0
    with State(path) as state:
        assert state.positions() == {}
        state.commit(positions={"sse:0-2": "id-1"})
    code, _, err = follow(2)
    assert code == 2
    assert "has no position of sse:0-4, sse:5-9" in err
    code, _, err = follow(3)
    assert code == 0, err
    with State(path) as state:
        positions = state.positions()
    assert positions.pop("sse:0-2") == "id-1"
    assert positions.keys() == {"sse:3-5", "sse:6-9"}
    for position in positions.values():
        assert datetime.fromisoformat(position.removeprefix("since:")) <= before


def test_a_corpus_is_fed_by_one_process_whatever_its_name(path: Path) -> None:
    """A link to it is the same corpus."""
    link = path.with_name("link.db")
    link.symlink_to(path)
    with feeding(path), pytest.raises(StateError, match="is fed by another process"), feeding(link):
        pass
