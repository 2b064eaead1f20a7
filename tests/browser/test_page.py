"""The page for people in a real browser: the feed moves, is looked at, and what articles say stays text."""

import asyncio
import re
from pathlib import Path

import pytest
from harness.browsing import connect, titles, watched
from harness.delivering import KEY, delivering
from harness.telling import tell
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="module")
MAX_ROWS = 100
BURST = 2_000
LONGEST_TASK_MS = 1_000
"""Generous: on an idle machine it is some 30 ms; the machines of CI are shared."""
HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(2)">',
    "\"quotes\" and 'quotes' & &lt;entities&gt;",
    "</td></tr></table><svg/onload=alert(3)>",
    "תורת <b>היחסות</b>",
    "\u202egnitseretni\u202c \u2066unclosed isolate",
    "{{constructor.constructor('alert(4)')()}}",
)
ELEMENTS = "bdi,a,span,time,td,tr,thead,tbody,th,table"


async def row(page: Page, name: str) -> list[str]:
    """The cells' text of the row with this title."""
    found = page.locator("#rows tr", has=page.get_by_text(name, exact=True))
    return await found.locator("td").all_text_contents()


async def test_the_feed_moves(tmp_path: Path, browser: Browser) -> None:
    """Newest first, each with its wiki, kind, change of size, licence and a ticking age; figures and plots
    say how many and how fresh, to those who can't see them too.
    """
    async with delivering(tmp_path) as server, watched(browser) as seen:
        page = seen.page
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await connect(page, KEY)
        await tell(
            server,
            {"name": "Larger", "size": (1_000, 2_234), "age_s": 3},
            {"name": "Smaller", "size": (1_000, 958), "bot": True, "wiki": "dewiki"},
            {"name": "New", "kind": "create", "size": (5, 70)},
            {"name": "Gone", "kind": "delete", "comment": "never shown", "age_s": 7_200},
        )
        assert await titles(page, 4) == ["Gone", "New", "Smaller", "Larger"]
        age, _, wiki, kind, size, licence = await row(page, "Larger")
        assert int(age.removesuffix(" s")) >= 3
        assert (wiki, kind, size, licence) == ("enwiki", "edit", "+1,234", "CC-BY-SA-4.0")
        assert (await row(page, "Smaller"))[2:5] == ["dewiki", "edit bot", "−42"]
        assert (await row(page, "New"))[4] == "+70"
        gone = await row(page, "Gone")
        assert [gone[0], *gone[3:5]] == ["2 h", "delete", "–"]
        await expect(page.locator("#total")).to_have_text("4")
        assert await page.locator("#position").text_content()
        await expect(page.locator("#rows tr").last.locator("td").first).not_to_have_text(age)
        await expect(page.locator("#worst")).to_have_text("2 h")
        await expect(page.locator("#rate")).not_to_have_text(re.compile("–|^0"))
        await expect(page.get_by_role("img", name="over the last minute")).to_have_count(2)
        for plot, shape in (("rate", ".bars"), ("age", ".medians")):
            assert await page.locator(f"#{plot}-plot {shape}").get_attribute("d")
        await page.get_by_role("button", name="Pause the list").click()
        await tell(server, {"name": "Later"})
        await expect(page.locator("#held")).to_have_text("Paused; 1 newer.")
        assert await page.locator("#rows tr").count() == 4
        await page.get_by_role("button", name="Pause the list").click()
        assert await titles(page, 5) == ["Later", "Gone", "New", "Smaller", "Larger"]


async def test_what_articles_say_stays_text(tmp_path: Path, browser: Browser) -> None:
    """Markup in titles and comments is shown as it is written: no element, no dialog, no request comes of
    it. Only addresses of the web become links.
    """
    async with delivering(tmp_path) as server, watched(browser) as seen:
        page = seen.page
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await connect(page, KEY)
        await tell(server, *({"name": text, "comment": text, "kind": "create"} for text in HOSTILE))
        assert await titles(page, len(HOSTILE)) == list(reversed(HOSTILE))
        assert await page.locator("#rows .comment").all_text_contents() == list(reversed(HOSTILE))
        assert await page.evaluate(f"document.querySelectorAll('#rows :not({ELEMENTS})').length") == 0
        urls = [
            "javascript:alert(5)",
            "JaVaScRiPt:alert(6)",
            "data:text/html,<script>alert(7)</script>",
            "//elsewhere.example/",
            "no address",
            "",
        ]
        await tell(server, *({"name": f"url {i}", "url": url} for i, url in enumerate(urls)))
        await titles(page, len(HOSTILE) + len(urls))
        links = await page.locator("#rows a").evaluate_all("links => links.map(a => [a.href, a.rel])")
        assert links == [["https://en.example.org/wiki/Title", "noopener noreferrer"]] * len(HOSTILE)


async def test_right_to_left_titles_are_right(tmp_path: Path, browser: Browser) -> None:
    """A title has its page's language and direction, and its marks end with it: the cells beside it stay
    where they are, even beside an override that nobody closed.
    """
    async with delivering(tmp_path) as server, watched(browser) as seen:
        page = seen.page
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await connect(page, KEY)
        await tell(
            server,
            {"name": "plain"},
            {"name": "HTML (שפת סימון)", "language": "he", "wiki": "hewiki", "comment": "תיקון"},
            {"name": "\u202eoverride", "comment": "\u202eoverride"},
        )
        await titles(page, 3)
        shown = await page.locator("#rows .name").evaluate_all(
            "names => names.map(n => { const style = getComputedStyle(n);"
            " return [n.lang, style.direction, style.unicodeBidi] })"
        )
        assert shown[1] == ["he", "rtl", "isolate"]
        assert {one[2] for one in shown} == {"isolate"}
        comment = page.locator("#rows .comment", has_text="תיקון")
        assert await comment.evaluate("e => [e.dir, getComputedStyle(e).direction]") == ["auto", "rtl"]
        edges = await page.locator("#rows td.wiki").evaluate_all(
            "cells => cells.map(c => { const r = document.createRange(); r.selectNodeContents(c);"
            " return Math.round(r.getBoundingClientRect().left) })"
        )
        assert len(set(edges)) == 1
        left = "e => Math.round(e.getBoundingClientRect().left)"
        starts = await page.locator("#rows .name").evaluate_all(f"names => names.map({left})")
        assert len(set(starts)) == 1


async def test_a_burst_leaves_it_responsive(tmp_path: Path, browser: Browser) -> None:
    """2,000 articles at once: the newest hundred are shown, all are counted, and no task of the page takes
    long enough to be felt.
    """
    async with delivering(tmp_path) as server, watched(browser) as seen:
        page = seen.page
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await connect(page, KEY)
        await page.evaluate(
            "() => { window.tasks = []; new PerformanceObserver(list => window.tasks.push("
            "...list.getEntries().map(e => e.duration))).observe({type: 'longtask', buffered: true}) }"
        )
        await server.write(range(1, BURST + 1), text="text " * 400)
        await expect(page.locator("#total")).to_have_text(f"{BURST:,}", timeout=30_000)
        await expect(page.locator("#rows tr")).to_have_count(MAX_ROWS)
        await tell(server, {"name": "The very newest"})
        await expect(page.locator("#rows .name").first).to_have_text("The very newest")
        await expect(page.locator("#rows tr")).to_have_count(MAX_ROWS)
        assert max(await page.evaluate("window.tasks"), default=0) < LONGEST_TASK_MS


async def test_it_waits_in_the_background(tmp_path: Path, browser: Browser) -> None:
    """A page that draws nothing reads on, and has the newest when it is looked at again."""
    async with delivering(tmp_path) as server, watched(browser) as seen:
        page = seen.page
        # what a hidden tab is to a page: no frames, and it is told so
        await page.add_init_script(
            "window.frames_ = []; const real = requestAnimationFrame; window.held = false;"
            "window.requestAnimationFrame = f => window.held ? frames_.push(f) : real(f)"
        )
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await connect(page, KEY)
        await page.evaluate(
            "window.held = true; Object.defineProperty(document, 'hidden', {get: () => held})"
        )
        await tell(server, {"name": "first"})
        await page.wait_for_function("frames_.length === 1", polling=20)  # by its clock: frames are held
        await tell(server, *({"name": str(i)} for i in range(2 * MAX_ROWS)), {"name": "last"})
        await asyncio.sleep(1.2)  # a tick of its clock: it draws nothing, and asks for no second frame
        assert await page.evaluate("frames_.length") == 1
        assert await page.locator("#rows tr").count() == 0
        await page.evaluate("window.held = false; document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator("#rows .name").first).to_have_text("last")
        await expect(page.locator("#total")).to_have_text(f"{2 * MAX_ROWS + 2}")
        await expect(page.locator("#rows tr")).to_have_count(MAX_ROWS)
