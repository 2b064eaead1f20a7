"""TLS in the process itself: the same streams and the same ends, and a certificate that is renewed."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from harness.certificates import Pair, self_signed
from harness.delivering import delivering, metric, partners_toml, raw, streams_open
from msgspec.structs import replace

from streamer.config import DeliverSettings
from streamer.deliver.server import run_deliver
from streamer.errors import ConfigError
from streamer.reload import Reload
from streamer.runtime import Runtime

NewLoop = Callable[[], asyncio.AbstractEventLoop]
TEXT = "x" * 100_000


each_loop = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
"""The service runs on uvloop, whose TLS is its own; where that is absent on asyncio's."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("certificate"))


def settings_of(pair: Pair, **more: float) -> DeliverSettings:
    return DeliverSettings(
        certificate=str(pair.certificate),
        private_key=str(pair.private_key),
        **more,  # type: ignore[arg-type] # numbers
    )


@each_loop
def test_a_stream_over_tls(tmp_path: Path, pair: Pair, loop: NewLoop) -> None:
    """Preamble, heartbeats and an article, at once; nothing of it in the clear; a drain says `bye`, finishes
    the answer and closes TLS as it should be closed.
    """
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(streamed(tmp_path, pair))


async def streamed(tmp_path: Path, pair: Pair) -> None:
    tls = pair.trusting()
    tls.set_alpn_protocols(["h2", "http/1.1"])
    async with (
        delivering(tmp_path, deliver=settings_of(pair, heartbeat_s=0.1)) as server,
        asyncio.timeout(30),
        raw(server, tls=tls) as (reader, writer),
    ):
        connection = writer.get_extra_info("ssl_object")
        assert connection.version() == "TLSv1.3"
        assert connection.selected_alpn_protocol() == "http/1.1"
        await reader.readuntil(b":ok\n\r\n")
        await reader.readuntil(b":hb\n\r\n")
        await server.write([1])
        await reader.readuntil(b'"identifier":1')
        async with raw(server) as (clear, _):
            assert not (await clear.read()).startswith(b"HTTP")
        server.runtime.draining.set()
        rest = await reader.read()  # an EOF without close_notify would be an error
        assert rest.endswith(b'event: bye\ndata: {"reason":"drain"}\n\n\r\n0\r\n\r\n')


@each_loop
def test_who_takes_nothing_is_reset_over_tls(tmp_path: Path, pair: Pair, loop: NewLoop) -> None:
    """A reader that falls behind, and one whose key is revoked meanwhile: each sees an error."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(stalled_and_cut(tmp_path, pair))


async def stalled_and_cut(tmp_path: Path, pair: Pair) -> None:
    async with delivering(tmp_path, deliver=settings_of(pair, retained_mb=4)) as server, asyncio.timeout(60):
        for end in ("expired", "slow"):
            before = ended(end)
            async with raw(server, tls=pair.trusting(), receive_buffer=4_096) as (stalled, _):
                await stalled.readuntil(b":ok\n")
                for _ in range(15 if end == "expired" else 60):  # 3 MB or 12 MB
                    await server.write([1, 2], text=TEXT)
                if end == "expired":
                    server.file.write_text(partners_toml(acme="wrs_the-next-key"))
                await streams_open(0)
                assert ended(end) == before + 1
                with pytest.raises((ConnectionError, ssl.SSLError)):
                    while await stalled.read(1 << 20):
                        pass
            generation = server.partners.generation
            server.file.write_text(partners_toml())
            if end == "expired":
                await server.partners.changed(generation)


def ended(reason: str) -> float:
    return metric("streamer_deliver_ended_streams_total", partner="acme", reason=reason)


async def test_who_never_finishes_the_handshake_is_not_waited_for(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection on which nothing is said is closed after some seconds, not after a minute."""
    monkeypatch.setattr("streamer.deliver.bind.HANDSHAKE_S", 0.2)
    async with delivering(tmp_path, deliver=settings_of(pair)) as server, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        writer.close()


@each_loop
def test_a_renewed_certificate_needs_no_restart(tmp_path: Path, loop: NewLoop) -> None:
    """A reload reads both files again, though no setting has changed; an open stream goes on. A pair that
    does not match, or is not there, changes nothing and raises the alarm.
    """
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(renewed_meanwhile(tmp_path))


async def renewed_meanwhile(tmp_path: Path) -> None:
    current, renewed = self_signed(tmp_path), self_signed(tmp_path, "renewed")
    before, after = current.trusting(), renewed.trusting()
    async with delivering(tmp_path, deliver=settings_of(current)) as server, asyncio.timeout(60):
        wished = asyncio.Event()
        reload = Reload(server.runtime, lambda: server.runtime.settings, wished)
        task = asyncio.get_running_loop().create_task(reload.run())
        async with raw(server, tls=before) as (stream, _):
            await stream.readuntil(b":ok\n\r\n")
            wrong = current.certificate.read_bytes()
            current.certificate.write_bytes(renewed.certificate.read_bytes())
            wished.set()
            while not metric("streamer_config_reload_failed"):
                await asyncio.sleep(0.01)
            async with raw(server, tls=before) as (reader, _):
                assert b" 200 " in await reader.readline()
            current.certificate.write_bytes(wrong)
            current.replace(renewed)
            wished.set()
            while metric("streamer_config_reload_failed"):
                await asyncio.sleep(0.01)
            async with raw(server, tls=after) as (reader, _):
                assert b" 200 " in await reader.readline()
            with pytest.raises(ssl.SSLCertVerificationError):
                async with raw(server, tls=before):
                    pass
            await server.write([1])
            assert b'"identifier":1' in await stream.readuntil(b"\n\n")
        task.cancel()


@each_loop
def test_over_tls_browsers_are_told_to_stay_with_it(tmp_path: Path, pair: Pair, loop: NewLoop) -> None:
    """By every answer: a stream, a file, a problem, and what is no HTTP."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(told_to_stay(tmp_path, pair))


async def told_to_stay(tmp_path: Path, pair: Pair) -> None:
    said = b"\r\nStrict-Transport-Security: max-age=31536000\r\n"
    async with delivering(tmp_path, deliver=settings_of(pair)) as server, asyncio.timeout(30):
        for target, status in [
            ("/v2/articles", b"200"),
            ("/openapi.json", b"200"),
            ("/nothing", b"404"),
            ("/ /", b"400"),
        ]:
            async with raw(server, target=target, tls=pair.trusting()) as (reader, _):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.split()[1] == status
                assert said in head


async def test_with_a_certificate_any_address_will_do(tmp_path: Path, pair: Pair) -> None:
    """What is refused without TLS is then no more than another address."""
    settings = replace(settings_of(pair), host="0.0.0.0")
    async with (
        delivering(tmp_path, deliver=settings) as server,
        asyncio.timeout(30),
        raw(server, tls=pair.trusting()) as (reader, _),
    ):
        assert b" 200 " in await reader.readline()


async def test_a_certificate_that_is_wrong_stops_the_start(tmp_path: Path, pair: Pair) -> None:
    """Before anything is opened, by a name and not by a traceback."""
    async with delivering(tmp_path) as server:
        wrong = replace(settings_of(pair), private_key=str(tmp_path / "nowhere.pem"))
        runtime = Runtime(replace(server.runtime.settings, deliver=wrong), server.log)
        with pytest.raises(ConfigError, match=r"deliver.private_key: .*nowhere.pem: No such file"):
            await run_deliver(runtime, server.partners)
