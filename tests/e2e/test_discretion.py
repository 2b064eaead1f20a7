"""What the service says of itself (logs, metrics, admin routes, stdout) names no key, no text and no one."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from harness.feed import Feed
from harness.hostile import MARK, send, spoilt_events, stranger_events
from harness.sandboxed import on_sandbox
from harness.service import Service
from recording_setup import KEYS

from streamer.log.base import Record
from streamer.log.local import LocalLog
from streamer.model import Topics
from streamer.partners_edit import rotate_partner
from streamer.sandbox.faults import KINDS, Fault
from streamer.sandbox.server import Sandbox

ADMIN = ("livez", "readyz", "metrics")
ENOUGH = 150
"""Published articles: two rounds of all that an editor does."""
SHORTEST = 8
"""Letters: shorter things stand in words by chance."""
GUESSED = "wrs_a_guessed_key_of_nobody"
PLANTED = "Zt4Kanarienvogel"
"""In what nobody should have written into the log, and in bytes that are no HTTP."""
TOPICS = Topics("wiki")
COME_UPON = (
    "a record of changes can't be read",
    "a record holds no article and is left out",
    "record is no article, left out",
)
"""By enrich, route and deliver."""


async def misuse(service: Service) -> None:
    """Requests whose refusals might repeat what was given."""
    url = f"http://127.0.0.1:{await service.port()}/v2/articles"
    good = {"Authorization": f"Bearer {KEYS['words']}"}
    async with aiohttp.ClientSession() as session:
        for query, headers in (
            ({}, {"Authorization": f"Bearer {GUESSED}"}),
            ({"key": KEYS["words"]}, {}),
            ({"since": KEYS["words"]}, good),
            ({KEYS["words"]: "1"}, good),
            ({}, good | {"Last-Event-ID": KEYS["words"]}),
            ({}, good | {"Accept": KEYS["words"]}),
        ):
            async with session.get(url, params=query, headers=headers) as response:
                assert response.status in {400, 401, 403, 406, 410, 422}, (response.status, query)
        body = f'{{"since": "{PLANTED}", "{KEYS["words"]}": 1}}'
        async with session.post(url, headers=good, data=body) as response:
            assert response.status == 422
    for port in (await service.port(), await service.admin_port()):
        for lines in (
            f"GET /{PLANTED} HTTP/1.1\r\nAuthorization Bearer {KEYS['words']}\r\n\r\n",
            f"{PLANTED}\x00{KEYS['words']}\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEYS['words']}{PLANTED * 5_000}\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(lines.encode())
            await reader.read()
            writer.close()


async def plant(log: LocalLog, *topics: str) -> None:
    """Values that are not what their topics hold, in every partition: each role comes upon one."""
    value = f'{{"{PLANTED}": "{KEYS["words"]}'.encode() + b"\xff"
    headers = (("kind", b"edit"), ("ce_type", b"wiki.article.update"))
    await log.append(
        [Record(topic, p, f"enwiki:{p + 1}", value, headers) for topic in topics for p in range(10)]
    )


async def admin(service: Service) -> str:
    base = f"http://127.0.0.1:{await service.admin_port()}"
    said = []
    async with aiohttp.ClientSession() as session:
        for route in ADMIN:
            async with session.get(f"{base}/{route}") as response:
                said.append(await response.text())
    return "\n".join(said)


def secrets(sandbox: Sandbox) -> set[str]:
    """Keys, users, comments, lines of text and titles as the invented wikis know them."""
    assert sandbox.world
    found = {*KEYS.values(), GUESSED, MARK}
    for name, wiki in sandbox.world.wikis.items():
        found |= {user.name for user in sandbox.world.users[name]}
        for page in [*wiki.pages.values(), *wiki.deleted.values()]:
            found.add(page.title)
            for revision in page.revisions:
                found |= {revision.comment, *revision.text.split("\n")}
                found |= {revision.user.name} if revision.user else set()
    return {secret for secret in found if len(secret) >= SHORTEST}


async def test_nothing_said_names_keys_texts_or_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole life, with asyncio telling all it can: edits of all kinds, spoilt events, every fault of the
    wikis, wrong requests and what is none, values in the log that are none, a spoilt partners file and
    configuration, a key that was rotated away, a drain with a reader.
    """
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "always")
    async with on_sandbox(tmp_path, edits_per_s=25) as (sandbox, service):
        known = secrets(sandbox)
        url = f"http://127.0.0.1:{await service.port()}/v2/articles"

        async def read() -> None:
            async for _ in Feed(url, KEYS["everything"]).events():
                pass

        reader = asyncio.create_task(read())
        send(sandbox, *spoilt_events(sandbox).values(), *stranger_events(sandbox))
        for kind in KINDS:
            sandbox.faults.add(Fault(kind, count=1, seconds=0.5))
        await misuse(service)
        file = tmp_path / "partners.toml"
        whole = file.read_text()
        file.write_text(whole.replace("sha256:", ""))
        await service.until(lambda m: m.get("streamer_partners_file_invalid") == 1)
        file.write_text(whole)
        rotated = rotate_partner(file, "humans", drop_old=True)
        known |= {rotated, PLANTED}
        async with LocalLog(tmp_path / "streamer.db", clean_every_s=3_600) as log:
            await plant(log, TOPICS.changes, TOPICS.articles, TOPICS.of_partner("everything"))
        settings = service.config.read_text()
        service.config.write_text(settings + f'[privacy]\nsecret = "{PLANTED}"\nsecrets = "{PLANTED}"\n')
        service.signal(signal.SIGHUP)
        await service.until(lambda m: m.get("streamer_config_reload_failed") == 1)
        await service.until(lambda m: published(m) >= ENOUGH)
        for event in COME_UPON:
            await service.event(event)
        assert sandbox.requests["fault:text_missing"] == 1, "the faults did not all happen"
        said = await admin(service)
        known |= secrets(sandbox)
        assert await service.terminate() == 0
        await reader
        said += service.stdout + "\n".join(service.lines)
    assert len(known) > 1_000
    assert not [secret for secret in known if secret in said]


def published(metrics: dict[str, float]) -> float:
    return metrics.get('streamer_committed_changes_total{outcome="published",role="enrich",scope=""}', 0)


async def test_a_defect_that_ends_the_process_quotes_nothing(tmp_path: Path) -> None:
    """A cut-off that is none, which the readers of cut-offs can't go on without: the process ends with 1,
    says where, and not what stood there.
    """
    async with on_sandbox(tmp_path) as (_, service):
        async with LocalLog(tmp_path / "streamer.db", clean_every_s=3_600) as log:
            await plant(log, TOPICS.withdrawals)
        assert await service.wait() == 1
        said = service.stdout + "\n".join(service.lines)
    (last,) = [line for line in service.lines if "ended by a defect" in line]
    assert "cutoffs.py:" in last
    assert "Traceback" not in said
    assert PLANTED not in said
    assert KEYS["words"] not in said


OUTCRY = """
import asyncio, logging, threading, warnings
from streamer import logs
logs.set_up()
SECRET = "Zt4" + "Kanarienvogel"
log = logging.getLogger("aiohttp.server")
log.error("Error handling request from %s", SECRET)
log.error(f"Unparsable: {SECRET}", extra={"body": SECRET})
logging.getLogger("streamer.x").error("%d", SECRET)
logging.getLogger("streamer.x").error("odd", extra={"thing": object, "text": chr(0xD800)})
warnings.warn(SECRET)
def fail(text=SECRET):
    raise ValueError(text)
class Bad:
    def __del__(self):
        fail()
async def lost(text=SECRET):
    raise KeyError(text)
async def main():
    asyncio.get_running_loop().call_soon(fail, SECRET)
    task = asyncio.ensure_future(lost())
    await asyncio.sleep(0.01)
    del task
    Bad()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    async with asyncio.TaskGroup() as group:
        group.create_task(lost())
asyncio.run(main(), debug=True)
"""


def test_whatever_cries_out_is_not_quoted() -> None:
    """Libraries' lines, warnings, callbacks, lost tasks, threads, destructors, the end of the process: each
    is told, as JSON with its kind and place, without a word of what it was about.
    """
    run = subprocess.run([sys.executable, "-c", OUTCRY], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    said = run.stdout + run.stderr
    assert "Kanarienvogel" not in said
    entries = [json.loads(line) for line in run.stderr.splitlines()]
    for kind in ("ValueError", "KeyError"):
        assert any(entry.get("error") == kind for entry in entries), kind
    events = [entry["event"] for entry in entries]
    for event in ("a thread ended by a defect", "an error where none can be raised", "ended by a defect"):
        assert event in events, events
    assert {"template": "Error handling request from %s"}.items() <= entries[0].items()
