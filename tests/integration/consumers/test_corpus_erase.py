"""What was withdrawn is in no file any more: searched for as bytes, decoded, and by its vector."""

import random
from pathlib import Path

import pytest
from harness.remains import remains, slices, vector_bytes

from consumers.corpus.chunk import chunks
from consumers.corpus.embed import Hashing
from consumers.corpus.erase import erase, withdraw
from consumers.corpus.index import Index
from consumers.corpus.page import Listed, Page, Told
from consumers.corpus.state import State
from consumers.corpus.table import Table

WORDS = {
    "en": "the harbour lies behind a mole of stone and the ferry leaves at noon",
    "de": "der Hafen liegt hinter einer Mole aus Stein und die Fähre fährt mittags",
    "ar": "يقع الميناء خلف رصيف من الحجر وتغادر العبارة عند الظهر",
    "he": "הנמל שוכן מאחורי שובר גלים מאבן והמעבורת יוצאת בצהריים",
    "hi": "बंदरगाह पत्थर की दीवार के पीछे है और नौका दोपहर में निकलती है",
    "th": "ท่าเรืออยู่ หลังเขื่อนหิน และเรือข้ามฟาก ออกตอนเที่ยง",
    "ja": "港は石の防波堤の後ろにある。 渡し船は正午に出る。",
    "zh": "港口位于石堤之后。 渡轮中午出发。",
}
LANGUAGES = tuple(WORDS)
PAGES = 100
GONE = {"deleted": 3, "hidden": 4, "listed": 5, "earlier": 6, "unasked": 7}
"""Pages by how their text goes; of `earlier` a revision is hidden that is not the newest."""


def canary(how: str) -> str:
    return f"Canary{how}zqx"


def page(number: int, revision: int, rng: random.Random, said: str = "") -> Page:
    language = LANGUAGES[number % len(LANGUAGES)]
    words = WORDS[language].split()
    paragraphs = [
        " ".join(rng.choice(words) for _ in range(60)) + f". {said}Text" for _ in range(rng.randrange(1, 9))
    ]
    text = "\n\n".join(paragraphs)
    return Page(
        wiki=f"{language}wiki",
        page=number,
        revision=revision,
        title=f"{said}Title {number}",
        url=f"https://{language}.example/wiki/{said}Title_{number}",
        namespace=0,
        text=text,
        language=language,
        wikitext=f"{text}\n<!-- {said}Wikitext -->",
        attribution=f"“{said}Title {number}” by the contributors",
    )


def told(content: Page, sequence: int) -> Told:
    return Told(content.wiki, content.page, sequence, content.revision, None, content)


class World:
    """A corpus with a table, in which a few pages hold canaries."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder = folder
        self.corpus = folder / "corpus.db"
        self.table = folder / "index"
        self.needles: list[bytes] = []
        self.rng = rng
        self.passages: dict[str, str] = {}
        with State(self.corpus, create=True) as state:
            for _ in range(3):  # rows move between the pages of the file
                for start in range(0, PAGES, 20):
                    numbers = range(start, start + 20)
                    state.commit(
                        [told(page(n, 100 + n, rng), self.tick()) for n in numbers if n not in GONE.values()]
                    )
            canaries = [page(number, 1_000 + number, rng, canary(how)) for how, number in GONE.items()]
            state.commit([told(each, self.tick()) for each in canaries])
            self.sequence_of_earlier = self.sequence
            self.needles += slices(self.corpus, [(each.wiki, each.page) for each in canaries])
            for how, content in zip(GONE, canaries, strict=True):
                self.passages[how] = chunks(content)[0].passage
                self.needles.append(vector_bytes(Hashing().embed([self.passages[how]])[0]))
            self.index(state).run()

    sequence = 1_000_000

    def tick(self) -> int:
        self.sequence += 1
        return self.sequence

    def index(self, state: State) -> Index:
        return Index(state, self.table, Hashing(), ann=True, ann_rows=50)

    def withdraw(self, state: State) -> None:
        def wiki(how: str) -> str:
            return f"{LANGUAGES[GONE[how] % len(LANGUAGES)]}wiki"

        newer = page(GONE["earlier"], 2_000, self.rng)
        state.commit(
            [
                Told(wiki("deleted"), GONE["deleted"], self.tick(), 0, "deleted"),
                Told(wiki("hidden"), GONE["hidden"], self.tick(), 1_000 + GONE["hidden"], "hidden"),
                Listed(wiki("listed"), GONE["listed"], self.tick()),
                told(newer, self.tick()),
                Told(newer.wiki, newer.page, self.tick(), 2_000, None, newer, hides=1_000 + GONE["earlier"]),
            ]
        )
        withdraw(state, wiki("unasked"), GONE["unasked"], self.tick())

    def traces(self) -> list[str]:
        return remains(self.folder, map(canary, GONE), self.needles)

    def nearest(self, how: str) -> str:
        (vector,) = Hashing().embed([self.passages[how]])
        found = Table(self.table).search(vector, 1)[0].row
        return f"{found['title']} {found['text']}"


@pytest.mark.parametrize("is_current", [True, False], ids=["table current", "table behind"])
def test_nothing_withdrawn_is_left_in_any_file(tmp_path: Path, rng: random.Random, is_current: bool) -> None:
    """Before it, the same search finds every canary: in the table, its versions and its vectors, and rows in
    free space or WAL. Whether the table heard of the withdrawals before or not. What stays, stays.
    """
    world = World(tmp_path, rng)
    with State(world.corpus) as state:
        world.index(state).settle()
        assert all(canary(how) in world.nearest(how) for how in GONE)
        world.withdraw(state)
        if is_current:
            world.index(state).run()
        traces = world.traces()
        for how in GONE:
            assert any(canary(how) in trace and "chunks.lance" in trace for trace in traces), how
        assert any("corpus.db" in trace for trace in traces)
        assert any("_indices" in trace for trace in traces)
        rows = Table(world.table).count()
        report = erase(state)
        assert report.is_complete, report
        assert world.traces() == []
        assert not any(canary(how) in world.nearest(how) for how in GONE)
        assert Table(world.table).count() == rows - report.sinks[1].rows_removed
        assert (report.sinks[1].rows_removed == 0) == is_current
        assert {sink.kind for sink in report.sinks} == {"corpus", "lance"}
        assert all(sink.files_rewritten for sink in report.sinks)
        again = erase(state)
        assert [sink.withdrawals for sink in again.sinks] == [0, 0]
        kept = {(each.wiki, each.page) for wiki in state.wikis() for each in state.pages(wiki)}
        world.index(state).run()
        assert Table(world.table).pages() == kept
        assert len(kept) == PAGES - len(GONE) + 1
