"""What real wikis write of their users, in three languages, to a partner that is told of none."""

import asyncio
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from harness.feed import Feed
from harness.mediawiki import WikiFarm
from harness.mediawiki.founding import USERS
from harness.mediawiki.mirror import Mirror
from harness.mediawiki.writing import ADDRESSES
from harness.on_kafka import OnKafka
from harness.service import Service

from deploy.kafka import Brokers
from streamer.log.base import Log, TopicPartition
from streamer.log.local import LocalLog
from streamer.model import Topics, is_tick
from streamer.partners import hash_key

STEWARD, WRITER = "Steward", "Writer"
EVER = "2020-01-01T00:00:00Z"
DEADLINE_S = 60.0
SECRET = "a secret of thirty-two characters"
ENVIRON = {"STREAMER_PRIVACY__SECRET": SECRET}
PARTNERS = {"full": "full", "masked": "pseudonym", "nobody": "none"}
DEEDS = (
    *(
        "create",
        "edit_as_bot",
        "edit_anonymously",
        "move",
        "move_there_and_back",
        "protect",
        "upload",
        "merge",
    ),
    *("rollback", "undo", "import_new", "hide_user", "hide_comment", "undelete"),
)


def key(partner: str) -> str:
    return f"wrs_key_of_{partner}"


async def acts(farm: WikiFarm, rng: random.Random) -> None:
    """Users' pages, reverts and moves, which a wiki's own messages tell with names; then other deeds."""
    for name, wiki in farm.wikis.items():
        for title in ("Page", f"User:{WRITER}", f"User talk:{ADDRESSES[0]}"):
            await wiki.act(WRITER, "edit", title=title, text=f"words of {rng.random()}")
        await wiki.act(ADDRESSES[0], "edit", title="Page", text="more words")
        await wiki.act(WRITER, "edit", title="Page", text="wrong words", summary=f"[[user:{STEWARD}]], see")
        await wiki.act(STEWARD, "rollback", token="rollback", title="Page", user=WRITER)
        answer = await wiki.act(WRITER, "edit", title="Page", text="wrong again")
        await wiki.act(STEWARD, "edit", title="Page", undo=answer["edit"]["newrevid"])
        await wiki.act(STEWARD, "move", **{"from": "Page", "to": f"User:{WRITER}/Drafts"})
        await wiki.act(STEWARD, "move", **{"from": f"User:{WRITER}/Drafts", "to": "Page again"})
        for deed in DEEDS:
            await farm.do(deed, name, rng)


async def received(log: Log, topic: str) -> list[Mapping[str, Any]]:
    """All of a partner's topic, withdrawn or not."""
    bounds = await log.all_bounds(topic)
    starts = {TopicPartition(topic, number): found.earliest for number, found in enumerate(bounds)}
    got = []
    async with log.reader(starts) as reader, asyncio.timeout(DEADLINE_S):
        while any(reader.position(tp) < bounds[tp.partition].end for tp in starts):
            got += [
                json.loads(stored.value)
                for stored in await reader.read()
                if stored.value and not is_tick(stored)
            ]
    return got


async def routed_alike(service: Service) -> None:
    """All that was admitted is finished, and what one partner has, all have."""
    async with asyncio.timeout(DEADLINE_S):
        calm = 0
        while calm < 3:
            admitted = (await service.committed("source")).get("admitted", 0)
            finished = (await service.committed("enrich")).get("admitted", 0)
            routed = {str(await service.committed("route", name)) for name in PARTNERS}
            calm = calm + 1 if admitted == finished and len(routed) == 1 else 0
            await asyncio.sleep(0.2)


def said(article: Mapping[str, Any]) -> str:
    """But for the page's own words."""
    rest = {name: part for name, part in article.items() if name not in ("article_body", "abstract")}
    return json.dumps(rest, ensure_ascii=False).casefold()


def comments(articles: Iterable[Mapping[str, Any]]) -> list[str]:
    versions = [article["version"] for article in articles if "version" in article]
    return [version["comment"] for version in versions if version.get("comment")]


async def told_of_nobody(farm: WikiFarm, folder: Path, rng: random.Random, kafka: OnKafka | None) -> None:
    """No user's name and no address is in what leaves, and comments leave all the same."""
    tables = [
        f'[{name}]\nkeys = ["{hash_key(key(name))}"]\neditor = "{editor}"\n'
        for name, editor in PARTNERS.items()
    ]
    (folder / "partners.toml").write_text("\n".join(tables))
    config = farm.config()
    if kafka:
        config = config.replace('path = "streamer.db"', kafka.settings)
    topics = Topics(kafka.prefix if kafka else "wiki")
    mirror = Mirror()
    async with Service(folder, config, environ=ENVIRON) as service, asyncio.TaskGroup() as group:
        await service.event("connected to the stream")
        url = f"http://127.0.0.1:{await service.port()}/v2/articles"
        following = group.create_task(mirror.follow(Feed(url, key("full"), since=EVER)))
        await acts(farm, rng)
        wrong = await mirror.differs_from(await farm.truth(), timeout_s=DEADLINE_S)
        assert not wrong, wrong
        following.cancel()
        await routed_alike(service)
        async with kafka.open() if kafka else LocalLog(folder / "streamer.db", clean_every_s=3_600) as log:
            got = {name: await received(log, topics.of_partner(name)) for name in PARTNERS}
        for line in service.lines:
            assert SECRET not in line
    names = {name.casefold() for name in (*USERS, *ADDRESSES)}
    named = {name for name in names for article in got["full"] if name in said(article)}
    assert named >= {"steward", "writer", ADDRESSES[0]}
    for partner in ("masked", "nobody"):
        assert len(got[partner]) == len(got["full"])
        found = [(name, said(article)) for name in names for article in got[partner] if name in said(article)]
        assert not found, found[:3]
        left, whole = comments(got[partner]), comments(got["full"])
        marked = sorted({text for text in left if "[…]" in text})
        print(f"{partner}: {len(left)} of {len(whole)} comments", *marked, sep="\n  ")
        assert len(left) > len(whole) / 2
        assert len(marked) > 3
    editors = [article.get("version", {}).get("editor", {}) for article in got["masked"]]
    pseudonyms = {editor["name"] for editor in editors if "name" in editor}
    assert len(pseudonyms) == len({name for name in USERS if name.casefold() in named})
    assert not [article for article in got["nobody"] if "editor" in article.get("version", {})]


async def test_told_of_nobody_on_the_local_log(farm: WikiFarm, tmp_path: Path, rng: random.Random) -> None:
    """By pseudonyms, or without editors."""
    await told_of_nobody(farm, tmp_path, rng, None)


@pytest.mark.soak  # the policy is applied before any log
@pytest.mark.xdist_group("kafka")
async def test_told_of_nobody_on_kafka(
    farm: WikiFarm, tmp_path: Path, rng: random.Random, brokers: Brokers
) -> None:
    """The same on a broker."""
    await told_of_nobody(farm, tmp_path, rng, OnKafka(brokers))
