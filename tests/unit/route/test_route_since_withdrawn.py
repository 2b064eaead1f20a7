"""A partner that is added with a time (`partner add --since`) after something of that past was withdrawn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.articles import PARTITIONS, Page
from harness.on_kafka import OnKafka

from deploy.kafka import Brokers
from streamer.config import LogSettings, Settings
from streamer.cutoffs import cutoff_record
from streamer.log.base import Record
from streamer.log.local import LocalLog
from streamer.model import Hideable
from streamer.partners_edit import add_partner
from streamer.route.starts import record_start
from streamer.runtime import topic_specs
from tests.unit.route.test_route_stage import EVERYTHING, SETTINGS, Place

TEXT, COMMENT, EDITOR = "canary of text", "canary of comment", "canary of editor"
WORDS = (TEXT, COMMENT, EDITOR)


def page(number: int) -> Page:
    """With words of its own."""
    text, comment, editor = (f"{word} {number}." for word in WORDS)
    return Page(number, page_id=number, text=text, comment=comment, editor=editor)


def cut_off(place: Place, of: Page, hides: tuple[Hideable, ...]) -> Record:
    """Of this revision; of the whole page where everything is hidden."""
    return cutoff_record(
        place.topics.withdrawals,
        PARTITIONS,
        wiki=of.wiki,
        page_id=of.page_id,
        revision=0 if len(hides) == len(WORDS) else of.sequence,
        sequence=1_000,
        hides=hides,
    )


HIDES: tuple[tuple[Hideable, ...], ...] = (
    (),
    ("text",),
    ("comment",),
    ("editor",),
    ("comment", "editor"),
    ("text", "comment", "editor"),
)


@asynccontextmanager
async def on_local(folder: Path) -> AsyncIterator[Place]:
    file = folder / "partners.toml"
    file.write_text(EVERYTHING)
    async with LocalLog(folder / "log.db") as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        yield Place(log, file)


@asynccontextmanager
async def on_kafka(folder: Path, brokers: Brokers) -> AsyncIterator[Place]:
    file = folder / "partners.toml"
    file.write_text(EVERYTHING)
    kafka = OnKafka(brokers)
    settings = Settings(log=LogSettings(kind="kafka", partitions=PARTITIONS, prefix=kafka.prefix))
    async with kafka.open() as log:
        await log.ensure_topics(topic_specs(settings))
        yield Place(log, file, settings)


async def check(place: Place) -> None:
    pages = [page(number) for number in range(1, len(HIDES) + 1)]
    async with place.routing():
        await place.publish(*pages)
        await place.settled("everything", len(pages))
        await place.log.append(
            [cut_off(place, each, hides) for each, hides in zip(pages, HIDES, strict=True) if hides]
        )
        await record_start(place.log, place.topics, "late", 0)
        add_partner(place.file, "late")
        await place.settled("late", len(pages))
    assert await place.counts("late") == {"published": 4, "withdrawn": 2}
    before, after = [
        b" ".join(record.value or b"" for record in await place.stored(partner))
        for partner in ("everything", "late")
    ]
    for each, hides in zip(pages, HIDES, strict=True):
        words = dict(zip(("text", "comment", "editor"), WORDS, strict=True))
        shown = set() if "text" in hides else words.keys() - set(hides)
        for name, word in words.items():
            canary = f"{word} {each.sequence}.".encode()
            assert canary in before
            assert (canary in after) is (name in shown), canary


async def test_it_gets_the_past_without_that(tmp_path: Path) -> None:
    """Withdrawn texts count as such; with a comment or an editor hidden the rest is there."""
    async with on_local(tmp_path) as place:
        await check(place)


@pytest.mark.xdist_group("kafka")
async def test_on_a_cluster(tmp_path: Path, brokers: Brokers) -> None:
    """The same on Kafka."""
    async with on_kafka(tmp_path, brokers) as place:
        await check(place)
