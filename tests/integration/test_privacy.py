"""A partner that is told less of editors than before, on both logs: from the next record on, and in a feed
that is made anew. Only the role route runs.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from harness.articles import PARTITIONS, Page
from harness.schema import checked
from harness.service import Service
from msgspec.structs import replace

from deploy.kafka import Brokers
from streamer.log.base import Record, TopicPartition, partition_of
from streamer.model import Editor, Namespace, article_headers, encode_value, page_key
from streamer.origin.answer import SiteInfo
from tests.integration.test_rebuild import DEADLINE_S, Fleet, on_kafka, on_local

SECRET = "Zt4-a-secret-of-thirty-two-characters"
ENVIRON = {"STREAMER_PRIVACY__SECRET": SECRET}
USER = "Zaphod Beeblebrox"
NUMBER = 471_108_150
CANARIES = ("zaphod", "beeblebrox", "trillian", "192.0.2.7", "~2026-12881-95", str(NUMBER))
"""In what leaves under `full` alone."""
COMMENT = "Zaphod Beeblebrox moved it for [[Benutzerin:Trillian|Trillian]], 192.0.2.7 and ~2026-12881-95"
SITE = SiteInfo(
    "dewiki", "d", "D", "de", "ltr", {-1: "Spezial", 2: "Benutzer"}, "", "", "", "", "", 1, {"Benutzerin": 2}
)


def article(fleet: Fleet, sequence: int) -> Record:
    """By turns of an account, an address and a temporary account; every third about a user's page."""
    page = Page(sequence, page_id=sequence % 40 + 1, wiki="dewiki")
    made = page.article()
    assert isinstance(made.version, msgspec.Struct)
    editor = (
        Editor(NUMBER, USER, is_anonymous=False),
        Editor(name="192.0.2.7", is_anonymous=True),
        Editor(name="~2026-12881-95", is_temporary=True),
    )[sequence % 3]
    comment = (
        COMMENT if sequence % 3 == 0 else "for [[Benutzer:Zaphod_Beeblebrox|Z.]], as zaphod beeblebrox said"
    )
    made = replace(made, version=replace(made.version, editor=editor, comment=comment))
    if sequence % 3 == 0:
        url = "https://de.example/wiki/Benutzer:Zaphod_Beeblebrox"
        made = replace(made, name=f"Benutzer:{USER}", url=url, namespace=Namespace(2, "Benutzer"))
    key = page_key("dewiki", page.page_id)
    headers = article_headers(made, key=key, server_name="de.example", edited_ms=0)
    return Record(fleet.topics.articles, partition_of(key, PARTITIONS), key, encode_value(made), headers)


async def publish(fleet: Fleet, first: int, last: int) -> None:
    await fleet.log.append([article(fleet, sequence) for sequence in range(first, last + 1)])


async def values(fleet: Fleet) -> dict[int, bytes]:
    """All of the partner's topic, by sequence."""
    topic = fleet.topics.of_partner("acme")
    bounds = await fleet.log.all_bounds(topic)
    starts = {TopicPartition(topic, number): found.earliest for number, found in enumerate(bounds)}
    got: dict[int, bytes] = {}
    async with fleet.log.reader(starts) as reader, asyncio.timeout(DEADLINE_S):
        while any(reader.position(tp) < bounds[tp.partition].end for tp in starts):
            for stored in await reader.read():
                if stored.value is not None:
                    got[int(stored.header("ce_sequence"))] = stored.value
                    assert not found_in(repr(stored.headers).encode())
    return got


def found_in(value: bytes) -> list[str]:
    said = value.decode().casefold()
    return [canary for canary in CANARIES if canary in said]


async def allow(fleet: Fleet, service: Service, editor: str) -> None:
    """The partner's table says so, and it is in force."""
    before = service.told.get("partners in force", {}).get("generation", 1)
    file = fleet.folder / "partners.toml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("editor")]
    at = lines.index("[acme]") + 1
    file.write_text("\n".join([*lines[:at], f'editor = "{editor}"', *lines[at:], ""]))
    async with asyncio.timeout(DEADLINE_S):
        while service.told.get("partners in force", {}).get("generation", 1) == before:
            await asyncio.sleep(0.02)


def pseudonyms(values: dict[int, bytes]) -> set[str]:
    editors = [checked(json.loads(value))["version"].get("editor", {}) for value in values.values()]
    return {editor["name"] for editor in editors if "name" in editor}


async def tightened(fleet: Fleet) -> None:
    """Full, pseudonyms, nobody: each for new records at once, and for the past once the feed is made anew. A
    pseudonym is the same over restarts and epochs.
    """
    async with AsyncExitStack() as stack:
        route = await fleet.start(stack, "route", "route", ENVIRON)
        meta = fleet.topics.meta
        site = Record(meta, partition_of("dewiki", PARTITIONS), "dewiki", encode_value(SITE))
        await fleet.log.append([site])
        await publish(fleet, 1, 60)
        await fleet.until_routed("acme", 60)
        got = await values(fleet)
        assert {canary for value in got.values() for canary in found_in(value)} == set(CANARIES)

        await allow(fleet, route, "pseudonym")
        await publish(fleet, 61, 120)
        await fleet.until_routed("acme", 120)
        got = await values(fleet)
        assert all(found_in(got[sequence]) for sequence in range(1, 61)), "the past is as it was"
        new = {sequence: value for sequence, value in got.items() if sequence > 60}
        assert not [found for value in new.values() if (found := found_in(value))]
        assert all(b'"comment"' in value for value in new.values())
        (pseudonym,) = pseudonyms(new)
        assert pseudonym.startswith("user-")
        assert f"Benutzer:{pseudonym}" in {json.loads(value)["name"] for value in new.values()}

        assert await route.terminate() == 0
        await route.start()
        old = await fleet.epoch("acme")
        async with fleet.command("rebuild", "acme") as command:
            assert await command.wait() == 0, command.lines
        assert await fleet.epoch("acme") != old
        await fleet.until_routed("acme", 120)
        got = await values(fleet)
        assert set(got) == set(range(1, 121))
        assert not [found for value in got.values() if (found := found_in(value))]
        assert pseudonyms(got) == {pseudonym}

        await allow(fleet, route, "none")
        await publish(fleet, 121, 150)
        await fleet.until_routed("acme", 150)
        got = await values(fleet)
        new = {sequence: value for sequence, value in got.items() if sequence > 120}
        assert not [value for value in new.values() if b'"editor":{' in value or b"revision_url" in value]
        async with fleet.command("rebuild", "acme") as command:
            assert await command.wait() == 0, command.lines
        await fleet.until_routed("acme", 150)
        got = await values(fleet)
        assert not [value for value in got.values() if b"user-" in value or found_in(value)]
        said = "\n".join(line for service in fleet.services.values() for line in service.lines)
        assert SECRET not in said
        assert not found_in(said.encode())
        assert pseudonym not in said


async def test_tightened_on_the_local_log(tmp_path: Path) -> None:
    """From full to pseudonyms to nobody."""
    async with on_local(tmp_path) as fleet:
        await tightened(fleet)


@pytest.mark.xdist_group("kafka")
async def test_tightened_on_kafka(tmp_path: Path, brokers: Brokers) -> None:
    """The same on a broker."""
    async with on_kafka(tmp_path, brokers) as fleet:
        await tightened(fleet)


async def test_pseudonyms_without_a_secret(tmp_path: Path) -> None:
    """At a reload the rules before stay, with the alarm; at the start it is a mistake of configuration, and a
    secret that is too short one too, which is not quoted. A process that does not route needs none.
    """
    async with on_local(tmp_path) as fleet, AsyncExitStack() as stack:
        route = await fleet.start(stack, "route", "route")
        await allow(fleet, route, "none")
        file = tmp_path / "partners.toml"
        file.write_text(file.read_text().replace('"none"', '"pseudonym"'))
        await route.until(lambda metrics: metrics.get("streamer_partners_file_invalid") == 1)
        await publish(fleet, 1, 30)
        await fleet.until_routed("acme", 30)
        got = await values(fleet)
        assert not [value for value in got.values() if b'"editor":{' in value or found_in(value)]
        assert await route.terminate() == 0

        for environ, where in (
            ({}, "acme.editor: pseudonyms are made with a secret, and there is none: name a file with one"),
            ({"STREAMER_PRIVACY__SECRET": SECRET[:20]}, "secret has less than 32 characters"),
            ({"STREAMER_PRIVACY__SECRET_FILE": str(tmp_path / "nowhere")}, "privacy.secret_file"),
        ):
            route.environ = environ
            route.lines.clear()
            await route.start()
            assert await route.wait() == 2
            said = "\n".join(route.lines)
            assert where in said
            assert SECRET[:20] not in said
            assert "Traceback" not in said
        await fleet.start(stack, "deliver", "deliver")
