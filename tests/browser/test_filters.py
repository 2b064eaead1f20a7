"""Filters tried out on the page: the feed follows, and the printed line gives the same from a shell."""

import asyncio
import json
import shutil
import signal
from pathlib import Path

import pytest
from harness.browsing import connect, titles, watched
from harness.delivering import KEY, delivering, streams_open
from harness.telling import tell
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="module")
ODD = 'What\'s "on" $KEY `id` \\ $(id) !! <b> & ; | * ? 100%'
"""All that a shell, curl, JSON or a query could trip over."""


async def typed(line: str, count: int) -> list[str]:
    """Types the line into a shell whose $KEY is the key; the titles of the first articles."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        f"exec {line}",
        env={"KEY": KEY, "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1_000_000,
    )
    assert process.stdout
    found: list[str] = []
    try:
        async with asyncio.timeout(30):
            while len(found) < count:
                raw = await process.stdout.readline()
                assert raw, "the feed ended"
                if raw.startswith(b"data: {"):
                    found.append(json.loads(raw[6:])["name"])
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.communicate()
    return found


async def line_of(page: Page) -> str:
    return await page.get_by_label("curl line").text_content() or ""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_printed_line_gives_what_the_page_shows(tmp_path: Path, browser: Browser) -> None:
    """Whatever a value holds; with the key as $KEY, never spelled out."""
    async with delivering(tmp_path) as server, watched(browser) as seen:
        page = seen.page
        await tell(
            server,
            {"name": "not this wiki", "wiki": "dewiki"},
            {"name": ODD},
            {"name": "not this title"},
            {"name": "not this kind", "kind": "create"},
            {"name": "not a person's", "bot": True},
            {"name": ODD},
        )
        await page.goto(f"http://127.0.0.1:{server.port}/")
        plain = await line_of(page)
        assert plain == f"curl -N -H \"Authorization: Bearer $KEY\" \\\n  '{server.url}'"
        await page.get_by_label("Wikis").fill("enwiki, frwiki")
        await page.get_by_label("Namespaces").fill("0,4")
        await page.get_by_label("edit", exact=True).check()
        await page.get_by_label("Bots").select_option("without")
        await page.get_by_role("button", name="Add a field").click()
        await expect(page.get_by_label("Field 1", exact=True)).to_be_focused()
        await page.keyboard.type("name")
        await page.keyboard.press("Tab")
        await page.keyboard.insert_text(ODD)
        await page.get_by_label("Begin").select_option("at the earliest that is kept")
        await expect(page.locator("#filter-count")).to_have_text("5 set")
        line = await line_of(page)
        assert "Bearer $KEY" in line
        assert KEY not in line
        await page.get_by_label("Your key").fill(KEY)
        await page.get_by_role("button", name="Apply").click()
        assert await titles(page, 2) == [ODD, ODD]
        assert await typed(line, 2) == [ODD, ODD]
        await page.get_by_text("What is sent").click()
        sent = await page.get_by_label("Request").text_content() or ""
        assert sent.startswith("GET /v2/articles?since=2001-01-15T00%3A00%3A00Z&filters=")
        wanted = json.loads(sent.partition("\nfilters = ")[2])
        assert wanted == [
            {"field": "is_part_of.identifier", "value": ["enwiki", "frwiki"]},
            {"field": "namespace.identifier", "value": [0, 4]},
            {"field": "event.kind", "value": "edit"},
            {"field": "version.editor.is_bot", "value": False},
            {"field": "name", "value": ODD},
        ]
        # the live feed is filtered as well, and what is cleared is asked for no more
        await tell(server, {"name": "other"}, {"name": ODD})
        await titles(page, 3)
        await page.get_by_role("button", name="Clear").click()
        assert await line_of(page) == plain
        await page.get_by_role("button", name="Apply").click()
        await expect(page.locator("#rows tr")).to_have_count(0)
        await page.locator("#status[data-state=live]").wait_for()
        await streams_open(1)
        await tell(server, {"name": "other"})
        assert await titles(page, 1) == ["other"]


async def test_values_keep_their_types(tmp_path: Path, browser: Browser) -> None:
    """A number is one only where it is written as such: ids beyond 2^53 and leading zeros stay text."""
    async with delivering(tmp_path) as server, watched(browser) as seen:
        await seen.page.goto(f"http://127.0.0.1:{server.port}/")
        values = {
            "7": 7,
            "-1.5": -1.5,
            "true": True,
            '"true"': "true",
            '"7"': "7",
            "007": "007",
            "1e3": "1e3",
            "12345678901234567890": "12345678901234567890",
            '"half': '"half',
            "": "",
        }
        got = await seen.page.evaluate(
            "async texts => { const { scalar } = await import('/page/ask.js'); return texts.map(scalar) }",
            list(values),
        )
        assert list(map(repr, got)) == list(map(repr, values.values()))


async def test_fewer_fields_are_enough_for_the_page(tmp_path: Path, browser: Browser) -> None:
    """One press asks for no more than is shown, and all of it is still shown."""
    async with delivering(tmp_path) as server, watched(browser) as seen:
        page = seen.page
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await connect(page, KEY)
        await tell(server, {"name": "whole", "comment": "why", "size": (1, 2), "bot": True})
        await titles(page, 1)
        whole = await page.locator("#rows tr td:not(.age)").all_inner_texts()
        await page.evaluate("document.querySelector('#rows tr').classList.add('before')")
        await page.get_by_role("button", name="Only what this page shows").click()
        await page.get_by_label("Begin").select_option("a minute ago")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.locator("#rows tr.before")).to_have_count(0)
        await titles(page, 1)
        assert await page.locator("#rows tr td:not(.age)").all_inner_texts() == whole
        assert await page.locator("#rows a").count() == 1


async def test_the_line_is_copied(tmp_path: Path, browser: Browser) -> None:
    """One press; where the browser refuses, it is selected instead."""
    async with delivering(tmp_path) as server, watched(browser) as seen:
        page = seen.page
        base = f"http://127.0.0.1:{server.port}"
        await page.goto(base)
        await seen.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=base)
        await page.get_by_role("button", name="Copy the line").click()
        await expect(page.locator("#copied")).to_have_text("Copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == await line_of(page)
        await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        await page.get_by_role("button", name="Copy the line").click()
        await expect(page.locator("#copied")).to_contain_text("Selected")
        assert await page.evaluate("String(getSelection())") == await line_of(page)
