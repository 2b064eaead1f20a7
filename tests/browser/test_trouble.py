"""What can go wrong, in words on the page; and what goes on by itself."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.browsing import Watched, connect, titles, watched
from harness.cutting import Hop
from harness.delivering import KEY, Delivering, delivering, partners_toml, streams_open
from harness.telling import tell
from playwright.async_api import Browser, Page, expect

from streamer.runtime import article_spec

pytestmark = pytest.mark.asyncio(loop_scope="module")
REFUSED = r"Failed to load resource: the server responded with a status of {}"
BROKEN = r"Failed to load resource: net::ERR_(CONNECTION_|INCOMPLETE_|EMPTY_)"
EVERYTHING = "at the earliest that is kept"


@asynccontextmanager
async def opened(
    tmp_path: Path, browser: Browser, *expected: str, limits: str = ""
) -> AsyncIterator[tuple[Delivering, Watched, Page]]:
    """The page, with a clock of its own, so that nobody waits for its waiting."""
    async with delivering(tmp_path, limits=limits) as server, watched(browser) as seen:
        seen.expected.extend(expected)
        await seen.page.clock.install()
        await seen.page.goto(f"http://127.0.0.1:{server.port}/")
        yield server, seen, seen.page


async def hurry(page: Page) -> None:
    """Passes the time for which it waits to try again."""
    await page.locator("#status[data-state=waiting]").wait_for()
    await page.clock.fast_forward(120_000)


async def test_a_wrong_key_is_said_where_it_stands(tmp_path: Path, browser: Browser) -> None:
    """In words, with the field marked and focused; the right one then connects. The key is nowhere but in
    its field: no address, no storage, no text of the page.
    """
    async with opened(tmp_path, browser, REFUSED.format(401)) as (_, seen, page):
        key = page.get_by_label("Your key")
        await key.fill("wrs_wrong")
        await key.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text(
            "The server does not take this key: this key is not known, or was revoked."
        )
        await expect(key).to_be_focused()
        assert await key.get_attribute("aria-invalid") == "true"
        await key.fill("wrs_ mistyped")
        await key.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("A key has no spaces")
        await connect(page, KEY)
        await expect(page.get_by_role("alert")).to_be_hidden()
        assert await key.get_attribute("aria-invalid") is None
        assert await key.get_attribute("type") == "password"
        everywhere = "[location.href, document.cookie, JSON.stringify({...localStorage, ...sessionStorage}),"
        everywhere += " document.documentElement.outerHTML, history.length].join()"
        assert KEY not in await page.evaluate(everywhere)
        keep = page.get_by_label("Keep it until this tab is closed")
        await keep.check()
        assert await page.evaluate("[JSON.stringify(sessionStorage), localStorage.length]") == [
            f'{{"streamer-key":"{KEY}"}}',
            0,
        ]
        await page.reload()
        await expect(key).to_have_value(KEY)
        await keep.uncheck()
        assert await page.evaluate("sessionStorage.length") == 0
        assert len(seen.context.pages) == 1


async def test_a_revoked_key_ends_it(tmp_path: Path, browser: Browser) -> None:
    """The server says bye; the next try says why, and it was the last."""
    async with opened(tmp_path, browser, REFUSED.format(401)) as (server, _, page):
        await connect(page, KEY)
        server.file.write_text(partners_toml(acme="wrs_another"))
        await expect(page.locator("#control")).to_contain_text("bye (expired)")
        await hurry(page)
        await expect(page.get_by_role("alert")).to_contain_text("was revoked")
        await expect(page.get_by_role("status").first).to_have_text("Stopped.")


async def test_a_broken_line_is_resumed_without_a_hole(tmp_path: Path, browser: Browser) -> None:
    """Cut within an article, and before any id was given: all come, once, in order."""
    async with (
        opened(tmp_path, browser, BROKEN) as (server, _, page),
        Hop(server.port) as hop,
    ):
        await page.goto(f"http://127.0.0.1:{hop.port}/")
        await connect(page, KEY)
        for size, abort in ((60, True), (200, True), (200, False)):  # packed, four are some 400 bytes
            told = [str(server.sequence + i) for i in range(4)]
            hop.cut_after(size, abort=abort)
            await tell(server, *({"name": name} for name in told))
            await hurry(page)
            await expect(page.locator("#total")).to_have_text(str(server.sequence))
        assert await titles(page, 12) == [str(i) for i in range(11, -1, -1)]
        await expect(page.locator("#reconnects")).to_have_text("3")
        await expect(page.get_by_role("status").first).to_have_text("Connected again, where it broke off.")
        assert hop.cuts == 3


async def test_a_drain_is_told_and_waited_for(tmp_path: Path, browser: Browser) -> None:
    """`bye` with its reason, then the wait; a disconnect ends the waiting."""
    async with opened(tmp_path, browser, BROKEN) as (server, _, page):
        await connect(page, KEY)
        server.runtime.draining.set()
        await expect(page.locator("#control")).to_contain_text("bye (drain)")
        await expect(page.get_by_role("status").first).to_contain_text("Next try in")
        await page.get_by_role("button", name="Disconnect").click()
        await expect(page.get_by_role("status").first).to_have_text("Not connected.")
        await expect(page.locator("#connect")).to_be_focused()


async def test_a_feed_made_anew_is_offered_from_its_earliest(tmp_path: Path, browser: Browser) -> None:
    """A position that can't be resumed: the page says so, and goes on only when it is told to."""
    async with opened(tmp_path, browser, REFUSED.format(410), BROKEN) as (server, _, page):
        await connect(page, KEY)
        await tell(server, {"name": "old"})
        await titles(page, 1)
        await server.log.delete_topic(server.topic)
        await server.log.ensure_topics([article_spec(server.runtime.settings, server.topic)])
        await tell(server, {"name": "new"})
        await hurry(page)
        await expect(page.get_by_role("alert")).to_contain_text("no longer kept")
        await page.get_by_role("button", name="Go on at the earliest").click()
        assert await titles(page, 1) == ["new"]


async def test_limits_are_said_and_waited_out(tmp_path: Path, browser: Browser) -> None:
    """429: how long it waits, by Retry-After; then it goes on by itself."""
    limits = "limits = { connections = 1 }"
    async with opened(tmp_path, browser, REFUSED.format(429), limits=limits) as (_, seen, page):
        other = await seen.context.new_page()
        await other.goto(page.url)
        await connect(other, KEY)
        await page.get_by_label("Your key").fill(KEY)
        await page.locator("#connect").click()
        await expect(page.get_by_role("alert")).to_contain_text("1 connections at a time are allowed")
        assert re.search(r"Next try in [56]\.\d s", await page.get_by_role("status").first.inner_text())
        await other.close()
        await streams_open(0)
        await hurry(page)
        await expect(page.get_by_role("status").first).to_have_text("Connected.")
        await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_filter_that_makes_no_sense_is_named(tmp_path: Path, browser: Browser) -> None:
    """422 with its parameter, in words; nothing is tried again."""
    async with opened(tmp_path, browser, REFUSED.format(422)) as (_, _, page):
        await page.get_by_label("Fields to be sent").fill("nmae")
        await page.get_by_label("Your key").fill(KEY)
        await page.get_by_role("button", name="Apply").click()
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("A filter or a parameter makes no sense (fields)")
        await expect(alert).to_contain_text("'nmae' not found")
        await expect(page.get_by_role("status").first).to_have_text("Stopped.")
