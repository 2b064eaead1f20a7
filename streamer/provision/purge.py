"""Takes away all that is left of a partner, once its table is out of the partners file.

    user, quotas, ACLs     at once: its clients are refused from then on
    wait                   until no running role can still write for it (let_go)
    groups
    start, password        what `add --since` left; the file here
    topic                  with every position there; last, as it tells the next run that this is not over

Each can be done again: an end in between is completed by the next run. Where there is no topic, the ACLs
are last. On the local log there are only topic, positions and start.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamer.accounts import GROUP
from streamer.config import Settings
from streamer.errors import ConfigError, LogUnavailable
from streamer.log.base import Log
from streamer.log.table import Table
from streamer.model import Topics
from streamer.provision.desired import partner_acls, sight_acl
from streamer.provision.passwords import Passwords
from streamer.provision.plan import is_elsewhere, of_one
from streamer.route.starts import Starts, record_start

if TYPE_CHECKING:  # the local log needs no librdkafka
    from streamer.provision.cluster import Admin

FORCE_S: Final = 5.0
"""Within this of a change of the partners file every process that reads it follows it."""
STILL_S: Final = 2.0
"""And then nothing may move for so long: a pass that was under way ends, a commit may take a while."""
LOOK_S: Final = 0.25
LET_GO_S: Final = 60.0
"""Longer than a commit may take (kafka_lane.COMMIT_S)."""
FORGET_S: Final = 15.0
START_S: Final = 30.0
"""For the meta topic: a table waits for ever for one that it may not read."""

Say = Callable[[str], None]


async def purge_from_cluster(
    admin: "Admin", log: Log, settings: Settings, name: str, say: Say, *, passwords: Passwords
) -> bool:
    """False where there was nothing of a partner of this name. Its table must be out of the file."""
    topics = Topics(settings.log.prefix)
    topic = topics.of_partner(name)
    acls = await admin.acls() or frozenset()
    given = of_one(topics, name, acls)
    exists = await log.topic(topic) is not None
    if not given and not exists and not await _has_start(log, topics, name):
        return False  # there may be a user and a password of this name: somebody else's
    given |= {sight_acl(settings.log.prefix, name)} & acls
    kept = passwords.kept((name,))
    is_ours = partner_acls(topics, name) <= acls or name in kept.done | kept.begun
    is_shared = is_elsewhere(topics, name, acls)
    if is_shared:
        say(f"right  user {name}: is a partner's under another prefix, too")
    else:
        await _remove_user(admin, name, say, is_ours=is_ours)

    async def forget() -> None:
        await _forget_start(log, topics, name)
        if not is_shared:
            say(passwords.forget(name))

    if not exists:
        await forget()
    await admin.remove_acls(sorted(given))
    for acl in sorted(given):
        say(f"remove acl {acl}")
    if exists:
        await let_go(log, settings, topic, say)
        await _remove_groups(admin, name, topic, say)
        await forget()
        await log.delete_topic(topic)
        await _until_forgotten(log, topic)
        say(f"remove topic {topic}, with all positions there")
    return True


async def _remove_user(admin: "Admin", name: str, say: Say, *, is_ours: bool) -> None:
    mechanisms = (await admin.users([name])).get(name, frozenset())
    if not is_ours:
        if mechanisms:
            say(
                f"note   user {name} stays: that provision made it is not to be proved (it has not all the"
                " rights of a partner, and its password is not here)"
            )
        return  # its quotas may be those of a user that logs in by another way than a password
    if mechanisms:
        await admin.remove_user(name, mechanisms)
        say(f"remove user {name}")
    if await admin.remove_quotas(name):
        say(f"remove quota {name}")


async def purge_from_file(log: Log, settings: Settings, name: str, say: Say) -> bool:
    """The same of the local log."""
    topics = Topics(settings.log.prefix)
    topic = topics.of_partner(name)
    exists = await log.topic(topic) is not None
    if not exists and not await _has_start(log, topics, name):
        return False
    if exists:
        await let_go(log, settings, topic, say)
    await _forget_start(log, topics, name)
    if exists:
        await log.delete_topic(topic)
        say(f"remove topic {topic}, with all positions there")
    return True


async def let_go(log: Log, settings: Settings, topic: str, say: Say) -> None:
    """Returns once the change of the partners file is in force everywhere, as far as that can be seen: it is
    FORCE_S old, and neither the topic nor route's positions there have moved for STILL_S. A lane that
    commits to a topic that is gone waits in vain for as long as a commit may take, and with it all partners.
    """
    in_force_s = _in_force_s(Path(settings.partners.file))
    say(f"wait   {in_force_s + STILL_S:.0f} s, until a running service has let go of it")
    await asyncio.sleep(in_force_s)
    until_s = time.monotonic() + LET_GO_S
    seen: object = None
    still_s = time.monotonic()
    while time.monotonic() - still_s < STILL_S:
        if time.monotonic() > until_s:
            raise LogUnavailable(
                f"{topic}: is still written: a running service has this partner in its partners file."
                " Take it out there, and purge again"
            )
        positions = {tp: at for tp, at in (await log.committed(GROUP)).items() if tp.topic == topic}
        found = positions, await log.all_bounds(topic)
        if found != seen:
            seen, still_s = found, time.monotonic()
        await asyncio.sleep(LOOK_S)


def _in_force_s(file: Path) -> float:
    """Until the file's last change is followed everywhere; one from the future is one of now."""
    age_s = time.time() - file.stat().st_mtime if file.exists() else 0.0
    return max(0.0, FORCE_S - max(0.0, age_s))


async def _remove_groups(admin: "Admin", name: str, topic: str, say: Say) -> None:
    """Those that follow nothing but its topic: another's may begin with the same word."""
    for group, at in (await admin.groups(f"{name}.")).items():
        if at != {topic}:
            continue
        if await admin.delete_group(group):
            say(f"remove group {group}")
        else:
            say(f"note   group {group} has members, which are refused by now: it ends with their sessions")


async def _until_forgotten(log: Log, topic: str) -> None:
    """Brokers drop the positions at a topic that is deleted, a moment later."""
    until_s = time.monotonic() + FORGET_S
    while any(tp.topic == topic for tp in await log.committed(GROUP)):
        if time.monotonic() > until_s:
            raise LogUnavailable(f"{topic}: is deleted, but {GROUP}'s positions there are not; purge again")
        await asyncio.sleep(LOOK_S)


async def _has_start(log: Log, topics: Topics, name: str) -> bool:
    starts = Starts()
    if await log.topic(topics.meta) is not None:
        try:
            async with asyncio.timeout(START_S):
                await Table(log, topics.meta, starts.apply).load()
        except TimeoutError:
            raise LogUnavailable(f"{topics.meta}: could not be read within {START_S:g} s") from None
    return starts.of(name) is not None


async def _forget_start(log: Log, topics: Topics, name: str) -> None:
    if await log.topic(topics.meta) is not None:
        await record_start(log, topics, name, None)


def unknown(file: str, name: str) -> ConfigError:
    return ConfigError(f"{file}: {name}", "no such partner, and nothing is left of one in the log")
