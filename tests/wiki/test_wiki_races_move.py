"""What happens to a page, and under its old title, while its move is under way."""

import pytest
from harness.mediawiki.races import Race

pytestmark = [pytest.mark.xdist_group("wiki-races"), pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_edited_at_its_new_title_while_a_redirect_becomes_a_page(race: Race, when: str) -> None:
    """What is read behind the move waits for it: the page in order, and the redirect, which another writes
    over, too.
    """
    old, new = f"Old {when}", f"New {when}"
    page = (await race.save(old, "first"))["pageid"]
    await race.told(page, "create")
    with race.hold(when, pageids=page) as hold:
        await race.move(old, new)
        await hold.arrived.wait()
        newest = (await race.save(new, "second"))["newrevid"]
        left = (await race.save(old, "a page of its own"))["pageid"]
        await race.read(4)
    _, moved, edited = await race.told(page, "create", "move", "edit")
    redirect, written = await race.told(left, "create", "edit")
    assert left != page
    assert moved.article["event"]["previous"]["name"] == old
    assert (moved.article["name"], edited.article["name"]) == (new, new)
    assert (edited.revision, edited.text) == (newest, "second")
    assert (redirect.article["name"], written.text) == (old, "a page of its own")
    await race.ends(published=5)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_edited_at_its_new_title_while_another_takes_its_old_one(race: Race, when: str) -> None:
    """No redirect is left: the page that is created there is another one, behind the move."""
    old, new = f"Left {when}", f"Taken {when}"
    page = (await race.save(old, "first"))["pageid"]
    await race.told(page, "create")
    with race.hold(when, pageids=page) as hold:
        await race.move(old, new, redirect=False)
        await hold.arrived.wait()
        await race.save(new, "second")
        other = (await race.save(old, "another"))["pageid"]
        await race.read(3)
    _, moved, edited = await race.told(page, "create", "move", "edit")
    [created] = await race.told(other, "create")
    assert moved.sequence < created.sequence
    assert (edited.article["name"], edited.text) == (new, "second")
    assert (created.article["name"], created.text) == (old, "another")
    await race.ends(published=4)


async def test_moved_there_and_back_while_the_first_move_is_fetched(race: Race) -> None:
    """The redirect of the first move is deleted by the second one, and never comes out after that; the page
    ends where it began.
    """
    page = (await race.save("Here", "first"))["pageid"]
    await race.told(page, "create")
    with race.hold("before", pageids=page) as hold:
        await race.move("Here", "There")
        await hold.arrived.wait()
        first_left = race.page("Here")
        await race.move("There", "Here")
        await race.told(first_left, "delete")
        await race.read(4)
        second_left = race.page("There")
    _, _, back = await race.told(page, "create", "move", "move")
    assert back.article["name"] == "Here"
    [deleted] = await race.told(first_left, "delete")
    [redirect] = await race.told(second_left, "create")
    assert redirect.article["redirect_target"] == "Here"
    assert deleted.sequence < back.sequence
    await race.ends(published=5, gone=1)


async def test_deleted_at_its_new_title_while_its_move_is_fetched(race: Race) -> None:
    """The move is `gone`, though its answer has the page's text; its redirect stays."""
    page = (await race.save("From", race.canary("moved")))["pageid"]
    await race.told(page, "create")
    with race.hold("after", pageids=page) as hold:
        await race.move("From", "To")
        await hold.arrived.wait()
        left = race.page("From")
        await race.delete("To")
        *_, deleted = await race.told(page, "create", "delete")
    await race.told(left, "create")
    race.withdrawn(race.canary("moved"), deleted)
    await race.ends(published=3, gone=1)


async def test_a_page_that_was_moved_over_is_gone_before_the_other_one_comes(race: Race) -> None:
    """An edit of the page that makes room is still being fetched; the answer comes when another page has its
    title.
    """
    source = (await race.save("Comes", "comes"))["pageid"]
    target = (await race.save("Makes room", race.canary("first")))["pageid"]
    await race.told(target, "create")
    with race.hold_next("after") as hold:
        await race.save("Makes room", race.canary("second"))
        await hold.arrived.wait()
        await race.delete("Makes room")
        await race.move("Comes", "Makes room", redirect=False)
        _, deleted = await race.told(target, "create", "delete")
        await race.read(2)
    _, moved = await race.told(source, "create", "move")
    assert (moved.article["name"], moved.text) == ("Makes room", "comes")
    race.withdrawn(race.canary("first"), deleted)
    race.never(race.canary("second"))
    await race.ends(published=4, gone=1)
