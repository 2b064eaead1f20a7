"""A feed that is made anew, in the role on the real embedded log."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from harness.articles import PARTITIONS
from msgspec import structs

from streamer.accounts import GROUP
from streamer.errors import ConfigError, TopicMissing, TopicRefused
from streamer.log.base import Record, Stored, TopicPartition
from streamer.log.local import LocalLog
from streamer.log.local_lanes import LocalLane
from streamer.log.position import Position
from streamer.model import encode_value
from streamer.partners import Limits, load_partners
from streamer.partners_edit import remove_partner
from streamer.route.rebuild import Mark, Start, mark_of
from streamer.route.rebuilder import Rebuilder
from streamer.route.starts import Starts, append_start, record_start
from streamer.runtime import article_spec, topic_specs
from tests.unit.route.test_route_stage import ALL, SETTINGS, Place, is_parked, mixture, until


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    file = tmp_path / "partners.toml"
    file.write_text(ALL)
    async with LocalLog(tmp_path / "log.db") as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        yield Place(log, file)


async def rebuild(place: Place, *, since_ms: int | None = None, known: bool = True) -> list[str]:
    """The command; what it told."""
    told: list[str] = []
    rebuilder = Rebuilder(place.log, SETTINGS, "everything", told.append)
    async with asyncio.timeout(30):
        await rebuilder.run(since_ms, wait=True, rules=lambda: "" if known else None)
    return told


async def marks(place: Place) -> dict[int, Mark]:
    topic = place.topics.of_partner("everything")
    committed = await place.log.committed(GROUP)
    return {tp.partition: mark_of(found.state) for tp, found in committed.items() if tp.topic == topic}


async def epoch(place: Place) -> str:
    info = await place.log.topic(place.topics.of_partner("everything"))
    assert info is not None
    return info.epoch


@asynccontextmanager
async def stopped(place: Place) -> AsyncIterator[None]:
    """The role, with twenty articles routed and then a rebuild begun by a command that died."""
    async with place.routing():
        await place.publish(*mixture(20))
        await place.settled("everything", 20)
        old = await epoch(place)
        await append_start(place.log, place.topics, "everything", Start(0, old, "stop"))

        async def all_stopped() -> bool:
            return list((await marks(place)).values()) == [Mark(old, "stopped")] * PARTITIONS

        await until(all_stopped)
        await place.publish(*mixture(20, 21))
        await place.settled("humans", 40)
        yield


async def test_a_stopped_feed_stays_so_over_a_restart(place: Place) -> None:
    """Whoever runs the lane next finds in its position that it is stopped, and routes nothing to it."""
    async with stopped(place):
        pass
    async with place.routing():
        await place.publish(*mixture(20, 41))
        await place.settled("humans", 60)
    assert await place.sequences("everything") == list(range(1, 21))
    async with place.routing():
        assert "a rebuild is under way: this goes on with it" in await rebuild(place)
    assert await place.sequences("everything") == list(range(1, 61))
    assert await place.counts("everything") == {"published": 60}


async def test_a_rebuild_that_is_taken_back(place: Place) -> None:
    """A partner that is removed and added again in the midst of one goes on where it stopped."""
    async with stopped(place):
        remove_partner(place.file, "everything")
        await record_start(place.log, place.topics, "everything", None)
        place.file.write_text(ALL)
        await place.settled("everything", 40)
    assert await place.sequences("everything") == list(range(1, 41))


async def test_a_rebuild_of_a_partner_that_was_removed(place: Place) -> None:
    """The command does not wait for lanes that do not route the partner any more."""
    with pytest.raises(ConfigError, match="removed meanwhile"):
        await rebuild(place, known=False)


async def test_no_lane_begins_by_the_rules_of_before(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The file reaches the role after the command has read it, and is changed once more meanwhile: the new
    feed waits for the rules that the command read last, and holds nothing made by others.
    """

    def rules() -> str:
        return load_partners(wanted)["everything"].rules

    async def with_editors() -> int:
        values = [stored.value for stored in await place.stored("everything") if stored.value]
        assert len(values) == 30
        return sum("editor" in msgspec.json.decode(value)["version"] for value in values)

    async def all_wait() -> bool:
        return sum("other rules than are in force" in text for text in caplog.messages) >= PARTITIONS

    wanted = place.file.with_name("wanted.toml")
    wanted.write_text(ALL.replace("[everything]", '[everything]\neditor = "pseudonym"'))
    rebuilder = Rebuilder(place.log, SETTINGS, "everything", lambda _: None)
    async with place.routing(), asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        await place.publish(*mixture(30))
        await place.settled("everything", 30)
        assert await with_editors() > 0
        old = await epoch(place)
        tasks.create_task(rebuilder.run(None, wait=False, rules=rules))
        await until(all_wait)
        assert await epoch(place) != old
        assert await marks(place) == {}
        wanted.write_text(ALL.replace("[everything]", '[everything]\neditor = "none"'))
        place.file.write_text(wanted.read_text())
        await place.settled("everything", 30)
    assert await with_editors() == 0


async def test_who_may_read_or_how_fast_is_no_rule(place: Place) -> None:
    """A key that is made while a feed is rebuilt keeps nobody waiting; every other word of the table does."""
    partner = load_partners(place.file)["everything"]
    same = (structs.replace(partner, keys=("k",)), structs.replace(partner, limits=Limits(connections=1)))
    others = (structs.replace(partner, bots=False), structs.replace(partner, editor="none"))
    assert {each.rules for each in same} == {partner.rules}
    assert len({partner.rules, *(each.rules for each in others)}) == 3


async def test_a_record_that_comes_late_changes_nothing(place: Place) -> None:
    """What a command that slept says of a rebuild that is done long since stops no feed."""
    async with place.routing():
        await place.publish(*mixture(30))
        await place.settled("everything", 30)
        old = await epoch(place)
        await rebuild(place)
        new = await epoch(place)
        for phase in ("stop", "swap", "go"):
            await append_start(place.log, place.topics, "everything", Start(0, old, phase))
            await place.publish(*mixture(5, 31 if phase == "stop" else 36 if phase == "swap" else 41))
        await place.settled("everything", 45)
    assert new != old
    assert await epoch(place) == new
    assert await place.sequences("everything") == list(range(1, 46))


async def test_one_after_the_other(place: Place) -> None:
    """Each is a new epoch, and counts start anew with it."""
    async with place.routing():
        await place.publish(*mixture(30))
        await place.settled("everything", 30)
        epochs = [await epoch(place)]
        for _ in range(3):
            assert (await rebuild(place))[-1] == "done: routed 30, and live"
            epochs.append(await epoch(place))
    assert len(set(epochs)) == 4
    assert await place.sequences("everything") == list(range(1, 31))
    assert await place.counts("everything") == {"published": 30}


async def test_a_topic_that_was_deleted_by_hand(place: Place) -> None:
    """A partner that is parked because its topic is gone gets a whole feed again, with nothing of what it
    stood at.
    """
    async with place.routing():
        await place.publish(*mixture(30))
        await place.settled("everything", 30)
        await place.log.delete_topic(place.topics.of_partner("everything"))
        await place.publish(*mixture(30, 31))
        await place.settled("humans", 60)
        await rebuild(place)
    assert await place.sequences("everything") == list(range(1, 61))


async def test_parked_for_another_reason(place: Place) -> None:
    """A partner whose topic is of no use, having another number of partitions, gets one that is by a rebuild:
    to stop its feed nothing has to be written there.
    """
    topic = place.topics.of_partner("everything")
    async with place.routing():
        await place.publish(*mixture(20))
        await place.settled("everything", 20)
    await place.log.delete_topic(topic)
    await place.log.ensure_topics([replace(article_spec(SETTINGS, topic), partitions=2 * PARTITIONS)])
    async with place.routing():
        await until(lambda: is_parked("everything"))
        await place.publish(*mixture(20, 21))
        await place.settled("humans", 40)
        await rebuild(place)
        assert not await is_parked("everything")
    assert await place.sequences("everything") == list(range(1, 41))


async def test_parked_and_not_to_be_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even `stopped` is refused, and that costs the lane, it is not tried again and again: the others
    go on, and the rebuild with the topic.
    """
    topic = place.topics.of_partner("everything")
    commit = LocalLane.commit
    over: set[LocalLane] = set()
    refusing = True

    async def refused(
        self: LocalLane, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        if self in over or (refusing and any(tp.topic == topic for tp in positions)):
            over.add(self)
            raise TopicRefused("for a test", topic)
        return await commit(self, records, positions)

    async def still_refused(_: LocalLog, name: str, **__: int) -> None:
        if refusing and name == topic:
            raise TopicRefused("for a test", topic)

    async with place.routing():
        await place.publish(*mixture(20))
        for partner in ("everything", "humans"):
            await place.settled(partner, 20)
        monkeypatch.setattr(LocalLane, "commit", refused)
        monkeypatch.setattr(LocalLog, "check_topic", still_refused)
        await append_start(place.log, place.topics, "everything", Start(0, await epoch(place), "stop"))
        await until(lambda: is_parked("everything"))
        for first in range(21, 421, 40):
            await place.publish(*mixture(40, first))
            await place.settled("humans", first + 39)
        assert len(over) <= 2 * PARTITIONS
        refusing = False
        await rebuild(place)
    assert await place.sequences("everything") == list(range(1, 421))


@pytest.mark.parametrize("taken_back", [False, True])
async def test_parked_while_it_was_being_stopped(
    place: Place, monkeypatch: pytest.MonkeyPatch, taken_back: bool
) -> None:
    """Lanes whose word that they have stopped was refused, the topic being deleted at that moment, do not
    take that word for the state of the feed made anew; nor of the old one, should the rebuild be taken back.
    """
    topic = place.topics.of_partner("everything")
    commit = LocalLane.commit
    hit: set[int] = set()

    async def deleted(
        self: LocalLane, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        if any(tp.topic == topic and mark_of(it.state).phase == "stopped" for tp, it in positions.items()):
            hit.add(self.partition)
            raise TopicMissing("for a test", topic)
        return await commit(self, records, positions)

    async def stopping() -> bool:
        return len(hit) == PARTITIONS

    async with place.routing():
        await place.publish(*mixture(20))
        await place.settled("everything", 20)
        old = await epoch(place)
        with monkeypatch.context() as patched:
            patched.setattr(LocalLane, "commit", deleted)
            await append_start(place.log, place.topics, "everything", Start(0, old, "stop"))
            await until(stopping)
            await place.log.delete_topic(topic)
            start = None if taken_back else Start(0, old, "go")
            await append_start(place.log, place.topics, "everything", start)
            await place.log.ensure_topics([article_spec(SETTINGS, topic)])
        await place.publish(*mixture(20, 21))

        wanted = [Mark("", "met") if taken_back else Mark(old, "met")] * PARTITIONS

        async def routed() -> bool:
            got = await place.sequences("everything")
            return got[-20:] == list(range(21, 41)) and list((await marks(place)).values()) == wanted

        await until(routed)


async def test_a_topic_that_can_not_be_deleted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says that the partner stands still, and what to do; done so, it goes on."""

    async def refuse(*_: object, **__: object) -> None:
        raise TopicRefused("this user may not do that there (ACLs)")

    async with place.routing():
        await place.publish(*mixture(30))
        await place.settled("everything", 30)
        with monkeypatch.context() as patched:
            patched.setattr(LocalLog, "delete_topic", refuse)
            with pytest.raises(ConfigError, match=r"stands still until .* run this again"):
                await rebuild(place)
        await rebuild(place)
    assert await place.sequences("everything") == list(range(1, 31))


def test_records_of_before_are_understood() -> None:
    """A beginning is written as earlier versions did, and read as one that was never rebuilt."""
    assert encode_value(Start(5)) == b'{"since_ms":5}'
    starts = Starts()
    starts.apply(Stored("wiki.meta.v1", 0, 0, 0, "partner/words", b'{"since_ms":5}'))
    assert starts.of("words") == Start(5, "", "")
