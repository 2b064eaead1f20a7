"""What the service says of itself (logs, metrics, admin routes, stdout) names no key, no text and no one."""

import asyncio
from pathlib import Path

import aiohttp
from harness.feed import Feed
from harness.hostile import MARK, send, spoilt_events, stranger_events
from harness.sandboxed import on_sandbox
from harness.service import Service
from recording_setup import KEYS

from streamer.sandbox.faults import KINDS, Fault
from streamer.sandbox.server import Sandbox

ADMIN = ("livez", "readyz", "metrics")
ENOUGH = 150
"""Published articles: two rounds of all that an editor does."""
SHORTEST = 8
"""Letters: shorter things stand in words by chance."""
GUESSED = "wrs_a_guessed_key_of_nobody"


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


async def test_nothing_said_names_keys_texts_or_people(tmp_path: Path) -> None:
    """A whole life: edits of all kinds, spoilt events, every fault of the wikis, wrong requests, a spoilt
    partners file, a drain with a reader.
    """
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
        await service.until(lambda m: published(m) >= ENOUGH)
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
