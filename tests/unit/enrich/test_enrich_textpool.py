"""The worker: hostile markup costs a bounded time, in another process, and the next page has its text."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from consumers.wikitext.plain import MAX_ABSTRACT_CHARS
from consumers.wikitext.text import Make, Origin, plain_text
from streamer.enrich.textpool import MAX_INPUT_CHARS, MAX_SLOW, SLOW_FOR_S, TextPool
from streamer.enrich.textworker import WORKER_BYTES

ALL = Make(text=True, sections=True, infoboxes=True)
BOUND_S = 4.0
"""Of a processor, for a megabyte; wide, for slow machines. What is quadratic takes minutes."""

REPEATED = (
    "{{", "[[", "<ref", "{|", "==", "{{a|", "[[a|", "<ref>", "{|\n|a\n", "= a\n=", "'", "'''''a", "*",
    "*a\n**b\n", "<!--", "<!-- ", "-{", "-{a|", "-{zh:a;", "(", " (", "[http://a b", "__", "__A", "&#",
    "&lt", " \t", "\n", ";:", "<poem>", "<nowiki>", "<pre>", "<b ", "<b", "[", "]", "}}", "{{{", "{{{a|",
    "{{a|{b}", "<li>", "[[:a|[", "|", "{{convert|1", "{{infobox|a=b|", "<br>", "{{x|y}} ", "----",
    "{{[[<ref>{|==", "'''a''b ", "[[File:a|", "]]]", "{{x|y}}{{infobox|\n|a=b\n|c=d\n|e=f}}",
    "== a ==\n", "=== a ===\n== b ==\nc\n", "#a\n", ":;*#", "{{PAGENAME}}",
)  # fmt: skip
NESTED = (
    ("{{", "}}"), ("{{a|x=", "}}"), ("[[a|", "]]"), ("{{nowrap|a", "b}}"), ("{{infobox|a=", "}}"),
    ("-{", "}-"), ("<poem>", "</poem>"), ("<nowiki>", "</nowiki>"), ("<ref>", "</ref>"),
    ("{|\n", "|}\n"), ("{{{", "}}}"), ("{{{a|", "}}}"), ("{{ubl|x|", "}}"), ("[[File:a|", "]]"),
    ("''", "'''"), ("<div>", "</div>"), ("[http://a ", "]"), ("{{infobox|\n|a=b\n|c={{ubl|", "}}\n}}"),
)  # fmt: skip
MEGABYTE = 1_000_000


def seconds(markup: str) -> float:
    start = time.process_time()
    plain_text(markup, make=ALL)
    return time.process_time() - start


def test_what_is_repeated_is_read_in_bounded_time() -> None:
    """Markup that takes parsers seconds to minutes, with all that can be made: a tenth of the worst."""
    slow = {piece: seconds(piece * (MEGABYTE // 10 // len(piece))) for piece in REPEATED}
    assert max(slow.values()) < BOUND_S, slow


def test_what_is_nested_in_itself_is_read_in_bounded_time() -> None:
    slow = {}
    for begin, end in NESTED:
        count = MEGABYTE // 10 // len(begin + end)
        slow[begin, end] = seconds(begin * count + end * count)
    assert max(slow.values()) < BOUND_S, slow


@pytest.mark.soak
@pytest.mark.parametrize("piece", REPEATED)
def test_a_megabyte_of_it_is_read_in_bounded_time(piece: str) -> None:
    assert seconds(piece * (MEGABYTE // len(piece))) < BOUND_S


@pytest.mark.soak
@pytest.mark.parametrize("pair", NESTED, ids="".join)
def test_a_megabyte_nested_in_itself_is_read_in_bounded_time(pair: tuple[str, str]) -> None:
    count = MEGABYTE // len("".join(pair))
    assert seconds(pair[0] * count + pair[1] * count) < BOUND_S


def test_each_candidate_for_a_box_is_looked_at_once() -> None:
    """What stands before it, too."""
    assert seconds("." * 125_000 + "a\n" + "{{q\n|a=1\n|b=2\n|c=3\n}}" * 5_000) < BOUND_S / 4


def test_text_is_not_much_longer_than_wikitext() -> None:
    """What a record and a feed have to carry is bounded by what the wiki has."""
    grown = (
        *(":" * 20 + "a" + "<br>b" * 10_000, "{{PAGENAME}}" * 5_000),
        *("#a\n" * 30_000, "{{ubl|" + "|a" * 50_000 + "}}"),
    )
    for markup in grown:
        text = plain_text(markup, Origin("t" * 255)).text
        assert text is not None
        assert len(text) < 6 * len(markup)


def test_headings_that_would_be_repeated_a_thousand_times_are_not() -> None:
    """A long heading above many short ones: the sections' paths would be gigabytes."""
    made = plain_text(f"== {'a' * 500_000} ==\n" + "=== b ===\n" * 1_900, make=ALL)
    assert made.text
    assert made.sections is None
    assert plain_text("== a ==\n" * 2_001, make=ALL).sections is None
    assert len(plain_text("== a ==\n" * 1_999, make=ALL).sections or ()) == 2_000


@given(st.text(alphabet="{}[]|<>!-/refabpoem='\n*#:;& F\u3042", max_size=300))
def test_no_markup_is_too_strange(markup: str) -> None:
    """Whatever is written, some text comes out, without characters that stand for something within."""
    text, abstract, sections, infoboxes = plain_text(markup, make=ALL)
    assert text is not None
    assert sections is not None
    assert infoboxes is not None
    parts = [part for one in sections for part in (*one.path[-1:], one.text) if part]
    assert "\n\n".join(parts) == text
    assert not any("\ufdd0" <= char <= "\ufdef" for char in text)
    assert len(abstract) <= MAX_ABSTRACT_CHARS


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[TextPool]:
    async with TextPool(workers=1) as pool:
        yield pool


@pytest.mark.asyncio(loop_scope="module")
async def test_a_worker_makes_what_is_asked_for(pool: TextPool) -> None:
    """One answer has the parts that the request names, and no other."""
    markup = "{{Infobox x\n|a=b}}\nlead\n== H ==\ntext"
    made = await pool.extract(markup, make=ALL)
    assert made == plain_text(markup, make=ALL)
    assert made
    assert made.sections
    assert [part.path for part in made.sections] == [[], ["H"]]
    made = await pool.extract(markup, make=Make(text=False, infoboxes=True))
    assert made
    assert (made.text, made.sections) == (None, None)
    assert made.infoboxes
    assert await pool.extract(markup, make=Make(text=False)) is None


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("piece", ["{{", "[[", "<ref", "{|", "=="])
async def test_the_page_after_a_hostile_one_is_served(pool: TextPool, piece: str) -> None:
    await pool.extract(piece * (MAX_INPUT_CHARS // len(piece)), make=ALL)
    made = await pool.extract("'''next'''")
    assert made
    assert made.text == "next"


async def test_a_worker_that_takes_too_long_is_replaced() -> None:
    """The page goes without text, the next one has its own again."""
    async with TextPool(workers=1) as pool:
        assert await pool.extract("first")
        pool._timeout_s = 0.001
        assert await pool.extract(SLOW) is None
        pool._timeout_s = 10.0
        answer = await pool.extract("'''next'''")
    assert answer
    assert answer.text == "next"


SLOW = "[[a|b]] {{c}}\n" * 70_000


async def test_a_page_that_took_too_long_takes_no_worker_for_a_while() -> None:
    """Whatever its next edit is; other pages do, and it does later. What is remembered is bounded."""
    now_s = 0.0
    async with TextPool(workers=1, now_s=lambda: now_s) as pool:
        assert await pool.extract("first")
        pool._timeout_s = 0.001
        assert await pool.extract(SLOW, page=("xwiki", 7)) is None
        assert await pool.extract(SLOW) is None
        pool._timeout_s = 10.0
        assert await pool.extract("mended", page=("xwiki", 7)) is None
        assert await pool.extract(SLOW) is None
        assert pool._all[0]._process is None
        assert await pool.extract("another", page=("xwiki", 8))
        now_s = SLOW_FOR_S
        assert await pool.extract("mended", page=("xwiki", 7))
        for page in range(MAX_SLOW + 5):
            pool._slow.add(page, now_s + 1)
        assert len(pool._slow._until_s) == MAX_SLOW
        assert pool._slow.has(MAX_SLOW, now_s)


async def test_the_wait_for_a_worker_is_bounded() -> None:
    """What waits too long goes without text, and takes nothing from who comes next."""
    async with TextPool(workers=1, wait_s=0.01) as pool:
        worker = pool._free.get_nowait()
        assert await pool.extract("waits") is None
        pool._free.put_nowait(worker)
        assert await pool.extract("next")


async def test_a_worker_is_free_again_after_two_cancellations() -> None:
    """The second comes while the worker is stopped."""
    stopping = asyncio.Event()
    async with TextPool(workers=1) as pool:
        assert await pool.extract("first")
        (worker,) = pool._all
        stop, asked = worker.stop, asyncio.Event()

        async def ask(frame: bytes, _: float) -> bytes:
            asked.set()
            await asyncio.Event().wait()
            return frame

        async def stop_slowly() -> None:
            await stop()
            stopping.set()
            await asyncio.Event().wait()

        worker.ask, worker.stop = ask, stop_slowly  # type: ignore[method-assign]
        task = asyncio.create_task(pool.extract("cancelled"))
        await asked.wait()
        task.cancel()
        await stopping.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del worker.ask, worker.stop
        assert await pool.extract("next")


async def test_the_address_space_of_a_worker_is_bounded() -> None:
    """Markup that needs more memory fails there: an article without text, and nothing else is hurt."""
    async with TextPool(workers=1) as pool:
        assert await pool.extract("first")
        process = pool._all[0]._process
        assert process
        limits = Path(f"/proc/{process.pid}/limits")
        if not limits.exists():
            pytest.skip("no /proc here")
        limit = [line for line in limits.read_text().splitlines() if line.startswith("Max address space")]
    assert limit[0].split()[3] == str(WORKER_BYTES)


async def test_a_page_beyond_the_bound_goes_without_text() -> None:
    """No worker is even started for it; an empty page needs none either."""
    async with TextPool(workers=1) as pool:
        assert await pool.extract("x" * (MAX_INPUT_CHARS + 1)) is None
        assert await pool.extract("") == ("", "", None, None)
        assert pool._all[0]._process is None
