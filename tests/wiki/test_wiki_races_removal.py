"""What is deleted while something is under way about it."""

import pytest
from harness.mediawiki.races import Race

pytestmark = [pytest.mark.xdist_group("wiki-races"), pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("suppressed", [False, True])
async def test_a_removal_overtakes_its_edits_fetch(race: Race, suppressed: bool) -> None:
    """The delete goes out at once; the answer from before it is `gone`."""
    title = f"Overtaken {suppressed}"
    page = (await race.save(title, race.canary("created")))["pageid"]
    await race.told(page, "create")
    with race.hold_next("after") as hold:
        await race.save(title, race.canary("edited"))
        await hold.arrived.wait()
        await (race.suppress_page(title) if suppressed else race.delete(title))
        *_, deleted = await race.told(page, "create", "delete")
    race.withdrawn(race.canary("created"), deleted)
    race.never(race.canary("edited"))
    await race.ends(published=2, gone=1)


async def test_what_is_restored_after_it_overtook_comes_out_anew(race: Race) -> None:
    """The restore waits for the edit in front of it, which is `gone`, and publishes the text anew; once more
    because recentchange tells it too, for where a page was restored onto another.
    """
    page = (await race.save("Restored", race.canary("first")))["pageid"]
    await race.told(page, "create")
    with race.hold_next("after") as hold:
        newest = (await race.save("Restored", race.canary("second")))["newrevid"]
        await hold.arrived.wait()
        await race.delete("Restored")
        *_, deleted = await race.told(page, "create", "delete")
        await race.restore("Restored")
        await race.read(3)
    *_, restored, _ = await race.told(page, "create", "delete", "restore", "refresh")
    assert restored.revision == newest
    assert restored.text == race.canary("second")
    race.withdrawn(race.canary("first"), deleted)
    race.withdrawn(race.canary("second"), deleted, restored)
    await race.ends(published=4, gone=1)


async def test_a_restore_is_overtaken_by_another_removal(race: Race) -> None:
    """Its answer is from between the two: nothing comes out after the second one."""
    page = (await race.save("Twice", race.canary("twice")))["pageid"]
    await race.told(page, "create")
    with race.hold("after", pageids=page) as hold:
        await race.delete("Twice")
        await race.restore("Twice")
        await hold.arrived.wait()
        await race.delete("Twice")
        _, first, _ = await race.told(page, "create", "delete", "delete")
    race.withdrawn(race.canary("twice"), first)
    await race.ends(published=3, gone=2)


async def test_deleted_and_restored_before_anything_is_answered(race: Race) -> None:
    """Both are read while the edit is still asked for, and the edit behind them too: each in its order."""
    page = (await race.save("Batch", race.canary("batch")))["pageid"]
    await race.told(page, "create")
    with (
        race.hold_next("before") as edit,
        race.hold("before", pageids=page) as restore,
        race.hold("before", titles="Batch") as refresh,
    ):
        await race.save("Batch", race.canary("edit"))
        await edit.arrived.wait()
        await race.delete("Batch")
        await race.restore("Batch")
        await restore.arrived.wait()
        await refresh.arrived.wait()
        newest = (await race.save("Batch", "after it"))["newrevid"]
        await race.read(4)
    *_, deleted, restored, _, edited = await race.told(page, "create", "delete", "restore", "refresh", "edit")
    assert edited.revision == newest
    race.withdrawn(race.canary("batch"), deleted)
    race.withdrawn(race.canary("edit"), deleted, restored)
    await race.ends(published=5, gone=1)


async def test_a_page_under_the_title_of_a_deleted_one_in_the_same_request(race: Race) -> None:
    """Both are asked for in one request, after the deletion: the first is `gone`, the second published."""
    blocked = [f"Blocker {number}" for number in range(3)]  # as many as the service asks at once
    holds = [race.hold_next("before", 1 + number) for number in range(3)]
    blockers = []
    for title, hold in zip(blocked, holds, strict=True):  # a request each: two that come together share one
        blockers.append(await race.save(title, title))
        await hold.arrived.wait()
    old = await race.save("Again", race.canary("old"))
    await race.delete("Again")
    new = await race.save("Again", "new")
    await race.told(old["pageid"], "delete")
    await race.read(len(blocked) + 2)
    for hold in holds:
        hold.release()
    [deleted] = await race.told(old["pageid"], "delete")
    [created] = await race.told(new["pageid"], "create")
    assert created.text == "new"
    for blocker in blockers:
        await race.told(blocker["pageid"], "create")
    asked = [one for one in race.gate.asked if one.names(old["newrevid"])]
    assert all(one.names(new["newrevid"]) for one in asked[:1])
    race.withdrawn(race.canary("old"), deleted)
    race.never(race.canary("old"))
    await race.ends(published=5, gone=1)


@pytest.mark.parametrize("answers_are_old", [False, True])
async def test_killed_between_a_removal_and_its_edit(race: Race, answers_are_old: bool) -> None:
    """The delete is out and its position committed, the edit is not. After the restart the edit is `gone`,
    though a replica that knows nothing of the deletion still has its text.
    """
    title = f"Killed {answers_are_old}"
    page = (await race.save(title, race.canary("created")))["pageid"]
    await race.told(page, "create")
    with race.hold_next("after") as hold:
        await race.save(title, race.canary("edited"))
        await hold.arrived.wait()
        lag = race.gate.lag(race.wiki.name) if answers_are_old else None
        await race.delete(title)
        *_, deleted = await race.told(page, "create", "delete")
        await race.service.kill()
    await race.restarted()
    race.withdrawn(race.canary("created"), deleted)
    race.never(race.canary("edited"))
    await race.ends(published=2, gone=1)
    assert lag is None or lag.met


async def test_a_restatement_that_was_overtaken_says_nothing(race: Race) -> None:
    """A restore and the refresh beside it are answered the other way round, with an edit in between: the page
    does not go back.
    """
    page = (await race.save("Between", "first"))["pageid"]
    await race.told(page, "create")
    with race.hold("before", pageids=page) as restore, race.hold("after", titles="Between") as refresh:
        await race.delete("Between")
        await race.restore("Between")
        await restore.arrived.wait()
        await refresh.arrived.wait()
        newest = (await race.save("Between", "second"))["newrevid"]
        await race.read(3)
    *_, restored, _ = await race.told(page, "create", "delete", "restore", "edit")
    assert restored.revision == newest
    await race.ends(published=4, superseded=1)
