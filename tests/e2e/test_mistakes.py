"""Mistakes of operators: one clear line that names what, where and what to do; exit 2; no traceback."""

import asyncio
import socket
from pathlib import Path

import pytest
from harness.feed import Feed
from harness.service import Service
from recording_setup import KEYS, config, write_partners

ANY = "[deliver]\nport = 0\nadmin_port = 0\n"


async def explained(folder: Path, text: str, *command: str) -> str:
    """Runs to its end; the one line it says. Asserts exit code 2 and that nothing else was said."""
    async with Service(folder, text, *command) as service:
        assert await service.wait() == 2, service.lines
        spoken = [line for line in service.lines if not line.startswith("{")]
        assert len(spoken) == 1, spoken
        assert spoken[0].startswith("streamer: ")
        return spoken[0]


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """Both the feed's port and the admin port."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        said = await explained(
            tmp_path, f"[deliver]\nport = {port}\nadmin_port = 0\n", "run", "--role", "deliver"
        )
        assert f"{port}" in said
        assert "deliver.port" in said
        said = await explained(tmp_path, f"[deliver]\nport = 0\nadmin_port = {port}\n")
        assert "deliver.admin_port" in said


async def test_a_typo_in_the_settings_is_named(tmp_path: Path) -> None:
    """The key that was meant stands among those allowed."""
    said = await explained(tmp_path, "[deliver]\nprot = 1\n")
    assert "deliver.prot: unknown key; allowed here: host, port" in said


async def test_a_typo_in_the_partners_is_named(tmp_path: Path) -> None:
    """At the start there are no old rules to keep, so the service does not start half-blind."""
    (tmp_path / "partners.toml").write_text("[acme]\nwikies = []\n")
    said = await explained(tmp_path, ANY)
    assert "partners.toml: acme.wikies: unknown key; allowed here:" in said


async def test_a_public_bind_without_tls_is_refused(tmp_path: Path) -> None:
    """Keys would travel in the clear."""
    assert "behind_tls" in await explained(
        tmp_path, '[deliver]\nhost = "0.0.0.0"\nport = 0\nadmin_port = 0\n'
    )


async def test_two_processes_on_one_log(tmp_path: Path) -> None:
    """The second is refused and names the first; the first goes on undisturbed."""
    async with Service(tmp_path, ANY, "run", "--role", "route") as first:
        await first.event("cut-offs loaded")
        said = await explained(tmp_path, ANY, "run", "--role", "route")
        assert str(first.pid) in said
        assert "route" in said
        assert first.running
        assert await first.terminate() == 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("partner", "remove", "nobody"), "nobody"),
        (("partner", "rotate", "nobody"), "nobody"),
        (("partner", "add", "No Good"), "1 to 40 of a-z"),
        (("partner", "add", "acme", "--since", "yesterday"), "'yesterday' is no RFC 3339 time"),
        (("partner", "add", "acme", "--since", "2026-01-01T00:00:00"), "no time zone"),
        (("sandbox", "--recording", "none.sse"), "none.sse"),
    ],
)
async def test_commands_explain_themselves(tmp_path: Path, command: tuple[str, ...], said: str) -> None:
    """Names that don't exist, times that aren't, files that are missing."""
    assert said in await explained(tmp_path, ANY, *command)


async def test_a_list_of_nobody_says_so(tmp_path: Path) -> None:
    """On standard error, so that what reads the list reads an empty one."""
    async with Service(tmp_path, ANY, "partner", "list") as service:
        assert await service.wait() == 0
        assert service.stdout == ""
        (said,) = service.lines
        assert "no partners" in said
        assert "streamer partner add" in said


async def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    """`file:` with a path that isn't there."""
    assert "none.sse" in await explained(tmp_path, f'[source]\nurl = "file:none.sse"\n{ANY}')


async def test_a_spoilt_partners_file_keeps_the_rules(tmp_path: Path) -> None:
    """Emptied, half-written or wrong while running: partners go on being served, and an alarm says why."""
    file = tmp_path / "partners.toml"
    write_partners(file)
    whole = file.read_text()
    recording = tmp_path / "empty.sse"
    recording.write_text(":ok\n\n")
    async with Service(tmp_path, config(recording, "http://127.0.0.1:9", speed="full")) as service:
        url = f"http://127.0.0.1:{await service.port()}/v2/articles"

        async def served() -> None:
            stream = Feed(url, KEYS["words"]).events()
            async with asyncio.timeout(30):
                async for event in stream:
                    assert event.name in {"heartbeat", "cursor"}
                    break
            await stream.aclose()

        await service.until(lambda metrics: metrics.get("streamer_partners_file_invalid") == 0)
        await served()
        for spoilt in ("", whole[: len(whole) // 2 + 7], "[words]\nkyes = []\n"):
            file.write_text(spoilt)
            await service.until(lambda metrics: metrics.get("streamer_partners_file_invalid") == 1)
            await served()
            file.write_text(whole)
            await service.until(lambda metrics: metrics.get("streamer_partners_file_invalid") == 0)
        assert await service.terminate() == 0
