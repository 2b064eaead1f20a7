"""Who waits, for how long, and when the alarm ends; on the real embedded log."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.accounts import counts_of
from streamer.clock import Clock
from streamer.config import LogSettings, Settings
from streamer.errors import ConfigError, TopicMissing, TopicRefused
from streamer.log.local import LocalLog
from streamer.metrics import REGISTRY
from streamer.partners import PartnersWatch
from streamer.route.feed import Feed, Routing
from streamer.route.roster import Roster
from streamer.runtime import Runtime, article_spec, topic_specs

SETTINGS = Settings(log=LogSettings(kind="local", partitions=10))


class Bench:
    """A partner whose topic is there, or not; time passes when a test says so."""

    def __init__(self, log: LocalLog, file: Path) -> None:
        self.now_s = 0.0
        self.log = log
        self.runtime = Runtime(SETTINGS, log, clock=Clock(monotonic_s=lambda: self.now_s))
        self.roster = Roster(self.runtime, PartnersWatch(file))
        self.routing: Routing = self.roster.routings()["acme"]
        self.parking = self.roster.parking
        self.roster.established("acme")

    async def make(self) -> None:
        await self.log.ensure_topics([article_spec(SETTINGS, self.routing.topic)])

    def park(self, partition: int, *, batch_bytes: int = 0, committed: bool = True) -> None:
        error = TopicRefused("for a test", self.routing.topic, batch_bytes=batch_bytes)
        feed = Feed(self.routing, 7, counts_of({})) if committed else None
        self.parking.park(self.routing, partition, error, feed=feed, owes=committed)

    def waits(self, partition: int) -> bool:
        return "acme" in self.parking.parked(partition)

    async def passes(self, seconds: float) -> None:
        self.now_s += seconds
        await self.parking.look()

    @property
    def is_parked(self) -> bool:
        return REGISTRY.get_sample_value("streamer_route_parked", {"partner": "acme"}) == 1


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    file = tmp_path / "partners.toml"
    file.write_text("[acme]\n")
    async with LocalLog(tmp_path / "log.db") as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        yield Bench(log, file)


async def test_refusal_is_known_to_all_lanes(bench: Bench) -> None:
    """What one lane was refused no other tries; what was too large for one partition is its own affair."""
    bench.park(3)
    assert [bench.waits(partition) for partition in (3, 4)] == [True, True]
    assert bench.is_parked
    bench.parking.forget("acme")
    bench.park(3, batch_bytes=1000)
    assert [bench.waits(partition) for partition in (3, 4)] == [True, False]


async def test_pauses_grow(bench: Bench) -> None:
    """A topic that stays as it is is looked at after 5 s, then ever more rarely, each minute at last."""
    bench.park(0)
    looks: list[float] = []
    while len(looks) < 7:
        before = due_s(bench)
        await bench.passes(0.5)
        if due_s(bench) != before:
            looks.append(bench.now_s)
    assert looks == [5, 15, 35, 75, 135, 195, 255]


def due_s(bench: Bench) -> float:
    return bench.parking._parked["acme"].due_s


async def test_mended_topic_is_used_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Once the topic is there the lanes may try; the alarm ends when the refused one has written, and the
    log has told of it once in each direction.
    """
    caplog.set_level(logging.INFO)
    bench.park(0)
    bench.parking.leave(Feed(bench.routing, 11, counts_of({})), 1)
    bench.park(2)
    await bench.make()
    await bench.passes(4.9)
    assert bench.waits(0)
    await bench.passes(0.1)
    assert not any(bench.waits(partition) for partition in range(10))
    for partition in range(10):
        bench.parking.joined("acme", partition)
    assert bench.is_parked, "nobody knows yet whether it takes what it refused"
    bench.parking.written("acme", 0)
    assert bench.is_parked
    bench.parking.written("acme", 2)
    assert not bench.is_parked
    told = [record.message for record in caplog.records if record.name == "streamer.route.parking"]
    assert told == ["partner parked: its topic takes nothing; the others go on", "partner routed again"]


async def test_alarm_of_one_lane_is_not_lifted_by_another(bench: Bench) -> None:
    """A lane that takes the partner up, or writes for it, says nothing about the one that was refused."""
    await bench.make()
    bench.park(3, batch_bytes=1000)
    bench.parking.written("acme", 4)
    bench.parking.joined("acme", 4)
    assert bench.is_parked
    assert bench.waits(3)


async def test_refused_on_trial_waits_longer(bench: Bench) -> None:
    """A look that can't tell costs a restart of the lane: so its next one comes later, also when the partner
    was well for a while; after two of the longest pauses in health it begins anew.
    """
    await bench.make()
    bench.park(0, batch_bytes=1000)
    await bench.passes(5)
    assert not bench.waits(0)
    bench.park(0, batch_bytes=1000)
    assert due_s(bench) == bench.now_s + 10
    await bench.passes(10)
    bench.parking.written("acme", 0)
    assert not bench.is_parked
    bench.now_s += 119
    bench.park(0, batch_bytes=1000)
    assert due_s(bench) == bench.now_s + 20
    await bench.passes(20)
    bench.parking.written("acme", 0)
    bench.now_s += 121
    bench.park(0, batch_bytes=1000)
    assert due_s(bench) == bench.now_s + 5


async def test_place_is_kept_until_the_lane_has_it_again(bench: Bench) -> None:
    """Where it stood outlives the lane that was refused, and ends with the lane's next start or move."""
    bench.park(0)
    bench.parking.leave(Feed(bench.routing, 11, counts_of({})), 1)
    assert bench.parking.stood(0)["acme"].next == 7
    assert bench.parking.stood(1)["acme"].next == 11
    bench.parking.joined("acme", 1)
    assert not bench.parking.stood(1)
    bench.parking.forget_lane(0)
    assert not bench.parking.stood(0)


async def test_lane_that_moves_away_takes_its_alarm_along(bench: Bench) -> None:
    """Another process has the partition, and tells of it; what is refused everywhere stays an alarm here."""
    bench.park(3, batch_bytes=1000)
    bench.parking.forget_lane(3)
    assert not bench.is_parked
    bench.park(3)
    bench.parking.forget_lane(3)
    assert bench.is_parked
    await bench.make()
    await bench.passes(60)
    assert not bench.is_parked


async def test_another_reason_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A topic that was refused and is now missing is another thing to mend: the log says so, once."""
    bench.park(0)
    await bench.passes(5)
    await bench.passes(10)
    codes = [vars(record)["code"] for record in caplog.records if record.name == "streamer.route.parking"]
    assert codes == ["topic_refused", "topic_missing"]


async def test_own_errors_name_whom_they_are_about(bench: Bench) -> None:
    """An error about a topic of nobody who is parked is not one that the role knows of."""
    bench.park(0)
    assert bench.parking.has_parked(TopicRefused("refused", bench.routing.topic, "other"))
    assert not bench.parking.has_parked(TopicMissing("missing", "other"))


async def test_what_another_process_has_taken_is_its_to_tell(bench: Bench) -> None:
    """The alarm does not outlive the lanes that raised it, nor is a place kept from which others go on."""
    bench.park(3)
    bench.park(4, batch_bytes=9_000_000)
    assert bench.parking.lanes() == {3, 4}
    await bench.make()
    await bench.passes(5)
    for partition in (3, 4):
        bench.parking.forget_lane(partition)
    assert not bench.is_parked
    assert not bench.parking.lanes()
    assert "acme" not in bench.parking.stood(3)


@pytest.mark.parametrize(("partitions", "fits"), [(20, True), (5, False)])
async def test_partitions_added_by_hand_are_no_reason_to_stop(
    bench: Bench, partitions: int, *, fits: bool
) -> None:
    """They are left empty; where some of ours are missing the topic can't be used."""
    await bench.log.ensure_topics(
        [replace(article_spec(SETTINGS, bench.routing.topic), partitions=partitions)]
    )
    if fits:
        await bench.roster.ready_topic(bench.routing, is_new=False)
        return
    with pytest.raises(ConfigError, match="has 5 partitions, not 10"):
        await bench.roster.ready_topic(bench.routing, is_new=False)
