"""What happens to a page while its dead letter is replayed."""

from typing import Any

import pytest
from harness.mediawiki.races import EVERYTHING, Race

pytestmark = [pytest.mark.xdist_group("wiki-races"), pytest.mark.asyncio(loop_scope="module")]


def without_text(answer: dict[str, Any]) -> dict[str, Any]:
    """What a wiki answers that has lost a text."""
    for page in answer["query"]["pages"]:
        for revision in page.get("revisions", ()):
            revision["slots"]["main"].pop("content", None)
            revision["slots"]["main"]["textmissing"] = True
    return answer


async def dead(race: Race, title: str, text: str) -> int:
    """A page whose edit is a dead letter; its id."""
    page = int((await race.save(title, "first"))["pageid"])
    await race.told(page, "create")
    with race.alter_next(without_text):
        await race.save(title, text)
        await race.outcomes(published=1, deadletter=1)
    return page


async def test_replayed_undisturbed(race: Race) -> None:
    """The page as it is now; a second replay is left out."""
    page = await dead(race, "Undisturbed", "second")
    assert "replays 1 dead letters" in await race.replay()
    *_, restated = await race.told(page, "create", "refresh")
    assert restated.text == "second"
    assert "replays 0 dead letters" in await race.replay()
    await race.ends(published=2, deadletter=1)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_deleted_while_it_is_replayed(race: Race, when: str) -> None:
    """`gone`: nothing comes out after the delete, which waits for nobody."""
    title = f"Deleted {when}"
    page = await dead(race, title, race.canary("second"))
    with race.hold(when, revids=race.newest(), pageids=page) as hold:
        await race.replay()
        await hold.arrived.wait()
        await race.delete(title)
        await race.told(page, "create", "delete")
    race.never(race.canary("second"))
    await race.ends(published=2, gone=1, deadletter=1)


async def test_hidden_while_it_is_replayed(race: Race) -> None:
    """The answer has the text, which is hidden by then: it does not come out; the newer page stays."""
    page = await dead(race, "Hidden", race.canary("second"))
    hidden = race.newest()
    with race.hold("after", revids=hidden, pageids=page) as hold:
        await race.replay()
        await hold.arrived.wait()
        await race.save("Hidden", "third")
        cut_off = await race.cutoffs()
        await race.hide("Hidden", hidden, EVERYTHING)
        await race.cut_off(cut_off + 1)
    *_, told = await race.told(page, "create", "refresh", "edit", "visibility")
    assert told.text == "third"
    race.never(race.canary("second"))
    await race.ends(published=4, deadletter=1)


async def test_edited_while_it_is_replayed(race: Race) -> None:
    """The newer revision is what stays."""
    page = await dead(race, "Edited", "second")
    with race.hold("after", revids=race.newest(), pageids=page) as hold:
        await race.replay()
        await hold.arrived.wait()
        await race.save("Edited", "third")
        await race.read(2)
    *_, replayed, edited = await race.told(page, "create", "refresh", "edit")
    assert (replayed.text, edited.text) == ("second", "third")
    await race.ends(published=3, deadletter=1)


async def test_moved_and_edited_before_and_while_it_is_replayed(race: Race) -> None:
    """Under another title a newer revision goes ahead of the replay, which no longer says anything."""
    page = await dead(race, "Elsewhere", "second")
    await race.move("Elsewhere", "Elsewhere now", redirect=False)
    await race.told(page, "create", "move")
    with race.hold("after", revids=race.newest() - 1, pageids=page) as hold:
        await race.replay()
        await hold.arrived.wait()
        await race.save("Elsewhere now", "third")
        *_, edited = await race.told(page, "create", "move", "edit")
    assert edited.text == "third"
    *_, replayed = await race.told(page, "create", "move", "edit", "refresh")
    assert replayed.text == "third"
    await race.ends(published=4, deadletter=1)


async def test_killed_while_it_is_replayed_and_its_page_is_deleted(race: Race) -> None:
    """The delete is out, the replay is asked again after the restart: `gone`."""
    page = await dead(race, "Killed", race.canary("second"))
    with race.hold("after", revids=race.newest(), pageids=page) as hold:
        await race.replay()
        await hold.arrived.wait()
        lag = race.lag("revids", "pageids", "titles")
        await race.delete("Killed")
        await race.told(page, "create", "delete")
        await race.service.kill()
    await race.restarted()
    race.never(race.canary("second"))
    await race.ends(published=2, gone=1, deadletter=1)
    assert lag.met
