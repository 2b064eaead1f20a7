"""The client against the sandbox: every answer is about what was asked, with every fault at once."""

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from streamer.config import MediaWikiSettings, Settings
from streamer.errors import AnswerInvalid, OriginUnavailable
from streamer.origin.answer import Found
from streamer.origin.mediawiki import Origin
from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

FAULTS = (
    Fault(kind="reset", probability=0.05),
    Fault(kind="cut_body", probability=0.05),
    Fault(kind="status", probability=0.05, status=500),
    Fault(kind="status", probability=0.05, status=429, retry_after_s=0),
    Fault(kind="redirect", probability=0.05),
    Fault(kind="maxlag", probability=0.05),
    Fault(kind="internal", probability=0.05),
    Fault(kind="broken_json", probability=0.05),
    Fault(kind="html", probability=0.05),
    Fault(kind="gzip_bomb", probability=0.02),
    Fault(kind="another_page", probability=0.05),
    Fault(kind="text_missing", probability=0.02),
)


def content_of(wiki: str, revision: int) -> str:
    digest = hashlib.sha256(f"{wiki}:{revision}".encode()).hexdigest()
    return "\n\n".join([f"Revision {revision} of {wiki}."] + [digest] * (1 + revision % 40))


def settings_of(sandbox: Sandbox) -> Settings:
    return Settings(
        mediawiki=MediaWikiSettings(
            endpoint=sandbox.endpoint, hosts=("*.org", "*.example"), requests_per_minute=60_000, timeout_s=5
        )
    )


async def asked_until_answered(origin: Origin, wiki: str, server_name: str, revision: int) -> Found | None:
    """Asks again after OriginUnavailable; None where it is told that no article can be made."""
    while True:
        try:
            answer = await origin.revision(wiki, server_name, revision)
        except OriginUnavailable:
            await asyncio.sleep(0.05)
        except AnswerInvalid:
            return None
        else:
            assert isinstance(answer, Found)
            return answer


async def test_the_recording_with_every_fault(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All recorded edits of 73 wikis: each is refused by name or answered with its own content."""
    monkeypatch.setattr("streamer.origin.breaker.PAUSE_S", 0.02)
    monkeypatch.setattr("streamer.origin.retry.LATER_LEAST_S", 0.02)
    monkeypatch.setattr("streamer.origin.retry.LATER_S", 0.05)
    path = shared_data / "recentchange-2021.sse"
    edits = []
    for line in path.read_text().splitlines():
        if line.startswith("data:"):
            event = json.loads(line[5:])
            if event.get("type") in {"edit", "new"}:
                edits.append((event["wiki"], event["server_name"], event["revision"]["new"]))
    async with (
        Sandbox(SandboxOptions(recording=path, seed=3, faults=FAULTS)) as sandbox,
        Origin(settings_of(sandbox)) as origin,
        asyncio.timeout(60),
    ):
        answers = await asyncio.gather(*(asked_until_answered(origin, *edit) for edit in edits))
        assert origin.waiting == 0
    refused = 0
    for (wiki, _, revision), answer in zip(edits, answers, strict=True):
        if answer is None:
            refused += 1
            continue
        assert (answer.site.wiki, answer.revision.identifier) == (wiki, revision)
        assert answer.revision.content == content_of(wiki, revision)
    assert refused < len(edits) / 4


async def test_the_invented_wikis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages by id, by title and by revision agree with each other and with the wiki, faults or not."""
    monkeypatch.setattr("streamer.origin.breaker.PAUSE_S", 0.02)
    faults = (Fault(kind="reset", probability=0.2), Fault(kind="status", status=502, probability=0.1))
    async with (
        Sandbox(SandboxOptions(seed=5, edits_per_s=0, pages_per_wiki=20, faults=faults)) as sandbox,
        Origin(settings_of(sandbox)) as origin,
        asyncio.timeout(30),
    ):
        assert sandbox.world is not None

        async def check(wiki: str, server_name: str, page_id: int, title: str, text: str) -> None:
            while True:
                try:
                    by_id, by_title = await asyncio.gather(
                        origin.page(wiki, server_name, page_id), origin.title(wiki, server_name, title)
                    )
                except OriginUnavailable:
                    continue
                break
            assert isinstance(by_id, Found)
            assert isinstance(by_title, Found)
            assert by_id.page == by_title.page
            assert by_id.page.page_id == page_id
            assert by_id.revision.content == by_title.revision.content == text
            assert by_id.site.direction in {"ltr", "rtl"}
            assert by_id.site.licence_url

        async with asyncio.TaskGroup() as group:
            for name, wiki in sandbox.world.wikis.items():
                for page in wiki.pages.values():
                    group.create_task(
                        check(name, wiki.site.server_name, page.identifier, page.title, page.current.text)
                    )


async def test_a_probe_is_one_request() -> None:
    """Answered or not: no retries of its own, and a wiki that answers is known to."""
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=0.001)) as sandbox,
        Origin(settings_of(sandbox)) as origin,
    ):
        sandbox.faults.add(Fault("status", count=1))
        with pytest.raises(OriginUnavailable):
            await origin.probe("ensandbox", "en.sandbox.example")
        assert sandbox.requests["api"] == 1
        assert origin.failing_since_s("ensandbox") is not None
        await origin.probe("ensandbox", "en.sandbox.example")
        assert sandbox.requests["api"] == 2
        assert origin.failing_since_s("ensandbox") is None
        assert origin.budget_used == 2
