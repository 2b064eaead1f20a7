"""Debian's Chromium without a window, driven by Playwright: what it says and asks for is judged too.

Every page is watched from its first request: a message on its console that no test expects, an error, a
dialog, a request that leaves this machine or a key in a URL fails the test, whatever else it looks at.
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    async_playwright,
)

ARGUMENTS = (
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nobody is reached but this machine
)
KEYS = re.compile(r"wrs_[\w-]+")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Skips, and says why, where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed (Debian's package: chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Watched:
    """A page of its own profile, and all that went wrong on it. `expected`: patterns of console messages
    that a test brings about itself.
    """

    context: BrowserContext
    page: Page
    wrong: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """All of the console, at any level."""

    def watch(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", self._on_dialog)
        self.context.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        self.said.append(message.text)
        if message.type in ("error", "warning", "assert") and not any(
            re.search(pattern, message.text) for pattern in self.expected
        ):
            self.wrong.append(f"{message.type}: {message.text}")

    async def _on_dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _on_request(self, request: Request) -> None:
        if urlsplit(request.url).hostname != "127.0.0.1":
            self.wrong.append(f"a request to elsewhere: {request.url}")
        if KEYS.search(request.url):
            self.wrong.append("a key in a URL")


@asynccontextmanager
async def watched(browser: Browser, **options: object) -> AsyncIterator[Watched]:
    """`options` are those of a Playwright context."""
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    try:
        page = await context.new_page()
        page.set_default_timeout(10_000)
        seen = Watched(context, page)
        seen.watch()
        yield seen
        await page.evaluate("0")  # what was said before has arrived
        assert not seen.wrong
        assert not KEYS.search(" ".join(seen.said)), "a key on the console"
    finally:
        await context.close()
