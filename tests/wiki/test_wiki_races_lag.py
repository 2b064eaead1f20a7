"""A replica that is behind: what it answers is missing, or older than what is known."""

import pytest
from harness.mediawiki.races import Race

pytestmark = [pytest.mark.xdist_group("wiki-races"), pytest.mark.asyncio(loop_scope="module")]


NEVER_REVISIONS = ("pageids", "titles")
"""So that an edit is published, and then what replicas answer is older than that."""


async def test_missing_and_then_present(race: Race) -> None:
    """Asked again, published once."""
    lag = race.lag("revids")
    with race.hold_next("after") as hold:
        page = (await race.save("Late", "there"))["pageid"]
        await hold.arrived.wait()
        lag.release()
    [created] = await race.told(page, "create")
    assert created.text == "there"
    assert len([one for one in race.gate.asked if one.names(created.revision)]) == 2
    await race.ends(published=1)


async def test_missing_on_three_tries(race: Race) -> None:
    """`gone`, and the next edit publishes the page: the replica was no deletion."""
    page = (await race.save("Behind", "first"))["pageid"]
    await race.told(page, "create")
    with race.lag("revids") as lag:
        await race.save("Behind", "second")
        await race.outcomes(published=1, gone=1)
        assert lag.met == 3
    await race.save("Behind", "third")
    *_, edited = await race.told(page, "create", "edit")
    assert edited.text == "third"
    await race.ends(published=2, gone=1)


async def test_a_restated_page_is_never_older_than_it_was_published(race: Race) -> None:
    """A protection is asked for by title: what a replica answers that does not know the newest edit yet is
    asked for again.
    """
    page = (await race.save("Protected", "first"))["pageid"]
    await race.told(page, "create")
    lag = race.lag(*NEVER_REVISIONS)
    await race.save("Protected", "second")
    await race.told(page, "create", "edit")
    with race.hold("after", titles="Protected") as hold:
        await race.protect("Protected")
        await hold.arrived.wait()
        lag.release()
    *_, restated = await race.told(page, "create", "edit", "refresh")
    assert restated.text == "second"
    assert restated.article["protection"]
    await race.ends(published=3)


async def test_what_can_only_be_restated_older_is_not(race: Race) -> None:
    """Older on three tries: a dead letter, so that it can be restated later; the page stays as it is."""
    page = (await race.save("Older", "first"))["pageid"]
    await race.told(page, "create")
    with race.lag(*NEVER_REVISIONS) as lag:
        await race.save("Older", "second")
        await race.told(page, "create", "edit")
        await race.protect("Older")
        await race.outcomes(published=2, deadletter=1)
        assert lag.met == 3
    await race.ends(published=2, deadletter=1)


async def test_a_move_is_not_told_with_the_page_from_before_it(race: Race) -> None:
    """A move writes a revision: an answer with a lower one has the old title too."""
    page = (await race.save("Lags", "first"))["pageid"]
    await race.told(page, "create")
    lag = race.lag(*NEVER_REVISIONS)
    with race.hold("after", pageids=page) as hold:
        await race.move("Lags", "Follows", redirect=False)
        await hold.arrived.wait()
        lag.release()
    *_, moved = await race.told(page, "create", "move")
    assert moved.article["name"] == "Follows"
    await race.ends(published=2)


async def test_a_restored_page_is_not_told_with_what_it_was_before(race: Race) -> None:
    """A replica that knows neither the deletion nor the edit before it has the page as it was then."""
    page = (await race.save("Returns", "first"))["pageid"]
    await race.told(page, "create")
    lag = race.lag(*NEVER_REVISIONS)
    await race.save("Returns", race.canary("second"))
    await race.told(page, "create", "edit")
    with race.hold("after", pageids=page) as restore, race.hold("after", titles="Returns") as refresh:
        await race.delete("Returns")
        *_, deleted = await race.told(page, "create", "edit", "delete")
        await race.restore("Returns")
        await restore.arrived.wait()
        await refresh.arrived.wait()
        lag.release()
    *_, restored, _ = await race.told(page, "create", "edit", "delete", "restore", "refresh")
    assert restored.text == race.canary("second")
    race.withdrawn(race.canary("second"), deleted, restored)
    await race.ends(published=5)


async def test_a_hidden_revision_is_not_restated_as_the_page(race: Race) -> None:
    """The page is asked for where a replica knows the hidden revision as its newest."""
    page = (await race.save("Hides", race.canary("text")))["pageid"]
    await race.told(page, "create")
    lag = race.lag(*NEVER_REVISIONS)
    hidden = race.newest()
    await race.save("Hides", "second")
    await race.told(page, "create", "edit")
    with race.hold("after", pageids=page) as hold:
        await race.hide("Hides", hidden, "content")
        await hold.arrived.wait()
        lag.release()
    *_, told = await race.told(page, "create", "edit", "visibility")
    assert told.text == "second"
    race.withdrawn(race.canary("text"), told)
    await race.ends(published=3)


async def test_a_deleted_page_that_a_replica_still_has(race: Race) -> None:
    """The edit that is asked for after its deletion was read is `gone`, whatever the replica says."""
    page = (await race.save("Stays", race.canary("first")))["pageid"]
    await race.told(page, "create")
    with race.hold_next("before") as hold:
        await race.save("Stays", race.canary("second"))
        await hold.arrived.wait()
        lag = race.lag("revids")
        await race.delete("Stays")
        *_, deleted = await race.told(page, "create", "delete")
    race.withdrawn(race.canary("first"), deleted)
    race.never(race.canary("second"))
    await race.ends(published=2, gone=1)
    assert lag.met == 1
