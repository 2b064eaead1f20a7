"""For everyone: by keyboard alone, by name and role, at 320 pixels, in the dark, without motion."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from harness.browsing import connect, titles, watched
from harness.delivering import KEY, delivering
from harness.telling import tell
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="module")
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, level AA, for text of any size."""
LEAST_EDGE = 3.0
"""1.4.11: the edge of a field."""
LEAST_TARGET = 24
"""2.5.8: of what is pressed, in pixels; links within a sentence are exempt."""

# Each text that can be seen: its colour, and the colours behind it from the nearest outwards.
COLOURS = """() => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const grounds = e => e ? [getComputedStyle(e).backgroundColor, ...grounds(e.parentElement)] : [];
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim();
    const e = walk.currentNode.parentElement;
    if (!text || !e.checkVisibility() || e.closest('.unseen, :disabled')) continue;
    const style = getComputedStyle(e);
    found.push([text.slice(0, 40), e.closest('svg') ? style.fill : style.color, grounds(e)]);
  }
  return found;
}"""
EDGES = """() => [...document.querySelectorAll(
    'input:not([type=checkbox]), select, button:not(.link, :disabled)')]
  .map(e => [e.id, getComputedStyle(e).borderTopColor, getComputedStyle(document.body).backgroundColor])"""
UNNAMED = """() => [...document.querySelectorAll('input, select, button, a, [tabindex]')]
  .filter(e => e.checkVisibility())
  .filter(e => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.labels?.length
                 || e.textContent.trim()))
  .map(e => e.outerHTML)"""
DANGLING = """() => {
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  const twice = ids.filter((id, i) => ids.indexOf(id) !== i);
  const named = ['aria-labelledby', 'aria-describedby', 'for', 'list'].flatMap(
    a => [...document.querySelectorAll(`[${a}]`)].flatMap(e => e.getAttribute(a).split(' ')));
  return [...twice, ...named.filter(id => !ids.includes(id))];
}"""
HEIGHTS = """() => [...document.querySelectorAll('button, select, input, summary, label.tick')]
  .filter(e => e.checkVisibility() && (!e.closest('label') || e.matches('label')))
  .map(e => e.getBoundingClientRect().height)"""
CUT_OFF = """() => [...document.querySelectorAll('body *')]
  .filter(e => e.checkVisibility() && !e.closest('.unseen, thead, .skip, .comment'))
  .filter(e => e.getBoundingClientRect().right > 320.5).map(e => e.outerHTML.slice(0, 80))"""
LIVE = "[...document.querySelectorAll('[aria-live],[role=status],[role=alert]')].map(e => e.id)"
LEVELS = "[...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]))"


def luminance(colour: str) -> float:
    """WCAG's, of `rgb(r, g, b)`."""
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def faint(found: list[tuple[str, str, list[str]]]) -> Iterator[tuple[str, float]]:
    for text, colour, grounds in found:
        ground = next((g for g in grounds if not g.startswith("rgba")), "rgb(255, 255, 255)")
        ratio = contrast(colour, ground)
        if ratio < LEAST_CONTRAST:
            yield text, ratio


async def filled(page: Page, url: str) -> None:
    """Every thing that the page can show is on it."""
    await page.goto(url)
    await connect(page, KEY)
    if await page.locator("#filters:not([open])").count():
        await page.locator("#filters > summary").click()
    await page.get_by_role("button", name="Add a field").click()
    await page.get_by_text("What is sent").click()
    await page.evaluate(
        "() => { trouble.hidden = false; trouble.textContent = 'What went wrong.'; mend.hidden = false }"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_can_be_read(
    tmp_path: Path, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    """Contrast of every text and edge, in light and in dark; a name for all that can be used; headings in
    order; no id that leads nowhere.
    """
    async with (
        delivering(tmp_path) as server,
        watched(browser, color_scheme=scheme, reduced_motion="reduce") as seen,
    ):
        page = seen.page
        await filled(page, f"http://127.0.0.1:{server.port}/")
        await tell(
            server,
            {"name": "plus", "size": (1, 2_000), "comment": "why", "bot": True},
            {"name": "minus", "size": (2_000, 1)},
            {"name": "gone", "kind": "delete"},
        )
        await titles(page, 3)
        await page.locator("#age-plot .medians[d]").wait_for(state="attached")
        found = await page.evaluate(COLOURS)
        assert len(found) > 60
        assert not list(faint(found))
        edges = await page.evaluate(EDGES)
        assert not [edge for edge in edges if contrast(*edge[1:]) < LEAST_EDGE]
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (luminance(ground) < 0.1) == (scheme == "dark")
        assert await page.evaluate(UNNAMED) == []
        assert await page.evaluate(DANGLING) == []
        levels = await page.evaluate(LEVELS)
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert min(await page.evaluate(HEIGHTS)) >= LEAST_TARGET
        table = await page.get_by_role("table", name="Articles").aria_snapshot()
        for words in ('columnheader "Bytes"', "row", 'cell "+1,999"', 'link "plus"'):
            assert words in table
        # only the line of state speaks by itself, never the rows, nor the figures
        assert await page.evaluate(LIVE) == ["status", "trouble", "copied"]


async def test_by_keyboard_alone(tmp_path: Path, browser: Browser) -> None:
    """Everything is reached in the order of reading, and seen to be; a row that is read stays where it is."""
    async with delivering(tmp_path) as server, watched(browser) as seen:
        page = seen.page
        await page.goto(f"http://127.0.0.1:{server.port}/")
        press = page.keyboard.press
        await press("Tab")
        await expect(page.get_by_role("link", name="Skip to the articles")).to_be_focused()
        await expect(page.get_by_role("link", name="Skip to the articles")).to_be_in_viewport()
        await press("Tab")
        await page.keyboard.type(KEY)
        await press("Enter")
        await page.get_by_text("Connected.", exact=True).wait_for()
        order = []
        for _ in range(11):
            await press("Tab")
            order.append(await page.evaluate("document.activeElement.id || document.activeElement.tagName"))
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", order[-1]
        assert order[:8] == [
            "keep",
            "connect",
            "disconnect",
            "SUMMARY",
            "wiki",
            "language",
            "namespace",
            "kind-create",
        ]
        await press("Space")
        await expect(page.get_by_label("delete", exact=True)).to_be_checked()
        await tell(server, {"name": "first"}, {"name": "second"})
        await titles(page, 2)
        await page.get_by_role("button", name="Pause the list").focus()
        await press("Tab")
        await expect(page.get_by_role("link", name="second")).to_be_focused()
        await tell(server, {"name": "third"})
        await expect(page.locator("#held")).to_have_text("Held while a title has the focus; 1 newer.")
        await expect(page.get_by_role("link", name="second")).to_be_focused()
        await press("Shift+Tab")
        assert (await titles(page, 3))[0] == "third"
        await press("Space")
        await expect(page.get_by_role("button", name="Pause the list")).to_have_attribute(
            "aria-pressed", "true"
        )


async def test_it_fits_320_pixels(tmp_path: Path, browser: Browser) -> None:
    """Nothing is cut off or to be scrolled sideways, and the table is one still."""
    async with (
        delivering(tmp_path) as server,
        watched(browser, viewport={"width": 320, "height": 640}) as seen,
    ):
        page = seen.page
        await filled(page, f"http://127.0.0.1:{server.port}/")
        await page.get_by_label("Value 1", exact=True).fill("x" * 300)
        await tell(
            server,
            {"name": "W" * 120, "comment": "c" * 300, "size": (0, 9_999_999), "wiki": "zh_min_nanwiktionary"},
            {"name": "ordinary", "size": (1, 2)},
        )
        await titles(page, 2)
        await page.evaluate("[rate, median, worst].forEach(figure => { figure.textContent = '99 min' })")
        assert await page.evaluate("document.documentElement.scrollWidth") == 320
        assert await page.evaluate(CUT_OFF) == []
        table = await page.get_by_role("table", name="Articles").aria_snapshot()
        assert 'columnheader "Licence"' in table
        assert 'cell "ordinary"' in table


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
async def test_nothing_moves_where_that_is_not_wanted(
    tmp_path: Path, browser: Browser, motion: Literal["reduce", "no-preference"]
) -> None:
    """New rows fade in, but not for who asked for less motion."""
    async with delivering(tmp_path) as server, watched(browser, reduced_motion=motion) as seen:
        page = seen.page
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await page.evaluate("document.addEventListener('animationstart', () => { window.moved = true })")
        await connect(page, KEY)
        await tell(server, {"name": "a"})
        await titles(page, 1)
        await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert bool(await page.evaluate("window.moved")) == (motion == "no-preference")
