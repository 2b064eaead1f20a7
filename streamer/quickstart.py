"""`streamer quickstart`: a working feed in a minute, without an account, a broker or a file to write.

All roles on the embedded log with one demo partner. Live Wikimedia where it can be reached, else the
built-in sandbox wiki, which is said loudly, because its articles are invented.
"""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Literal, TextIO

import msgspec

from streamer.check.network import unreachable
from streamer.check.ports import is_taken
from streamer.config import RPM_UNIDENTIFIED, DeliverSettings, Settings
from streamer.errors import ConfigError, LogBusy
from streamer.log.claims import locked
from streamer.partners_edit import add_partner
from streamer.pipeline import run_pipeline
from streamer.sandbox.server import Sandbox, SandboxOptions

Wish = Literal["live", "sandbox", "either"]
DEMO: Final = "demo"
SANDBOX_HOSTS: Final = ("*.sandbox.example",)
SANDBOX_RPM: Final = 600
"""Our own wiki need not be spared, yet batches should still be seen to form."""


async def run_quickstart(
    settings: Settings, *, wish: Wish, data: Path, port: int | None, seed: int | None, out: TextIO
) -> None:
    """Until a signal. Raises ConfigError where `wish` is `live` and Wikimedia cannot be reached, or where
    `data` can't be had; LogBusy where another quickstart runs in it.
    """
    async with AsyncExitStack() as stack:
        if settings.source.url.startswith("file:") and wish != "sandbox":
            raise ConfigError(
                "source.url", "is a file; quickstart follows a stream, `streamer run` replays files"
            )
        problem = "" if wish == "sandbox" else await unreachable(settings)
        if problem and wish == "live":
            raise ConfigError("source.url", f"{problem}; `--sandbox` runs on the built-in wiki instead")
        _claim(data, stack)
        if wish == "sandbox" or problem:
            sandbox = await stack.enter_async_context(Sandbox(SandboxOptions(seed=seed)))
            settings = _on_sandbox(settings, sandbox)
            log_path = data / "sandbox.db"
            _forget(log_path)
            _say_sandbox(out, problem, sandbox.seed)
        else:
            log_path = data / "live.db"
            _say_live(out, settings)
        file = data / "quickstart-partners.toml"
        file.unlink(missing_ok=True)
        key = add_partner(file, DEMO)
        settings = _own(settings, log_path, file, port)

        def listening(bound: int) -> None:
            _say_how(out, settings.deliver, bound, key)

        await run_pipeline(settings, on_listening=listening)


def _claim(data: Path, stack: AsyncExitStack) -> None:
    """A second one would delete the log under the first one's feet, and its demo partner's key with it."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(data / "quickstart.lock"))
    except OSError as error:
        raise ConfigError("--data", f"{data} cannot be used ({error.strerror}): name another") from None
    except LogBusy:
        raise LogBusy(
            f"another quickstart runs in {data}: stop it, or give this one a folder of its own by --data"
        ) from None


def _on_sandbox(settings: Settings, sandbox: Sandbox) -> Settings:
    replace = msgspec.structs.replace
    return replace(
        settings,
        source=replace(settings.source, url=sandbox.stream_url),
        mediawiki=replace(
            settings.mediawiki,
            hosts=SANDBOX_HOSTS,
            endpoint=sandbox.endpoint,
            requests_per_minute=SANDBOX_RPM,
        ),
    )


def _own(settings: Settings, log_path: Path, partners: Path, port: int | None) -> Settings:
    """The demo's own log, partners and port: nothing of a real installation is touched."""
    replace = msgspec.structs.replace
    deliver = settings.deliver
    if port is None:
        port = _free(deliver.host, deliver.port)
    admin_port = _free(deliver.admin_host, deliver.admin_port)
    return replace(
        settings,
        log=replace(settings.log, kind="local", path=str(log_path)),
        partners=replace(settings.partners, file=str(partners)),
        deliver=replace(deliver, port=port, admin_port=admin_port),
    )


def _free(host: str, port: int) -> int:
    """The port, or 0 (any) where somebody has it already."""
    try:
        return 0 if is_taken(host, port) else port
    except OSError as error:
        raise ConfigError("deliver.host", f"cannot listen on {host}: {error.strerror}") from None


def _forget(log_path: Path) -> None:
    """An invented wiki begins anew each time, so what an earlier one said must not mix with it."""
    for file in log_path.parent.glob(f"{log_path.name}*"):
        file.unlink(missing_ok=True)


# ── what is said ───────────────────────────────────────────────────────────────────────────────


def _say(out: TextIO, *lines: str) -> None:
    print(*lines, sep="\n", file=out, flush=True)


def _say_sandbox(out: TextIO, problem: str, seed: int) -> None:
    why = f"Wikimedia is out of reach: {problem}." if problem else "As asked with --sandbox."
    _say(
        out,
        "",
        "  ┌───────────────────────────────────────────────────────────────────────────┐",
        "  │  SANDBOX: these articles are INVENTED by a built-in wiki. Not Wikipedia.  │",
        "  └───────────────────────────────────────────────────────────────────────────┘",
        f"  {why} (seed {seed})",
    )


def _say_live(out: TextIO, settings: Settings) -> None:
    _say(out, "", "  Live from Wikimedia.")
    if settings.requests_per_minute <= RPM_UNIDENTIFIED:
        wikis = ", ".join(settings.admitted_wikis) or "all wikis"
        _say(
            out,
            f"  Without a contact Wikimedia grants {RPM_UNIDENTIFIED} requests a minute, enough for {wikis}.",
            "  For all wikis at 200 a minute: STREAMER_SOURCE__CONTACT=you@example.org make run",
        )


def _say_how(out: TextIO, deliver: DeliverSettings, port: int, key: str) -> None:
    scheme = "https" if deliver.certificate else "http"
    shown = f"[{deliver.host}]" if ":" in deliver.host else deliver.host
    _say(
        out,
        "",
        "  Watch articles arrive (in another terminal):",
        "",
        f"    curl -N -H 'Authorization: Bearer {key}' {scheme}://{shown}:{port}/v2/articles",
        "",
        "  Or look at them in a browser, with the key that begins with wrs_:",
        "",
        f"    {scheme}://{shown}:{port}/",
        "",
        "  Ctrl-C stops it.",
        "",
    )
