"""A revision that is hidden between the stream that tells of it and the answer with its text."""

import pytest
from harness.mediawiki.races import EVERYTHING, Race

pytestmark = [pytest.mark.xdist_group("wiki-races"), pytest.mark.asyncio(loop_scope="module")]


async def edited_and_overwritten(race: Race, title: str) -> tuple[int, int]:
    """A page whose second revision has a text, a comment and an editor that nobody else has, and a third one:
    MediaWiki hides no newest revision's text. The page and that revision.
    """
    page = (await race.save(title, "first"))["pageid"]
    edit = await race.save(title, race.canary("text"), by=race.address, comment=race.canary("comment"))
    await race.save(title, "third")
    return page, edit["newrevid"]


WHAT = ("content", "comment", "user")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", [*WHAT, EVERYTHING])
async def test_hidden_between_stream_and_commit(race: Race, what: str, when: str) -> None:
    """Visible when the stream told it. Asked for when it is hidden already, or answered before: either way
    nothing that is hidden comes out, and the rest does.
    """
    title = f"Hidden {what.replace('|', ' ')} {when}"
    with race.hold_next(when, 2) as hold:
        page, revision = await edited_and_overwritten(race, title)
        await hold.arrived.wait()
        cut_off = await race.cutoffs()
        await race.hide(title, revision, what)
        await race.cut_off(cut_off + 1)
    first, second, third, told = await race.told(page, "create", "edit", "edit", "visibility")
    assert (first.text, third.text) == ("first", "third")
    hidden = what.split("|")
    assert second.text == (None if "content" in hidden else race.canary("text"))
    canaries = (race.canary("text"), race.canary("comment"), race.address)
    for name, canary in zip(WHAT, canaries, strict=True):
        if name in hidden:
            race.never(canary)
        elif "content" not in hidden:
            assert canary in second.data
    assert told.text == "third"
    assert told.article["event"]["revision"] == {
        "identifier": revision,
        "visibility": {
            "text": "content" not in hidden,
            "editor": "user" not in hidden,
            "comment": "comment" not in hidden,
        },
    }
    await race.ends(published=4)


@pytest.mark.parametrize("suppressed", [False, True])
async def test_hidden_after_it_was_published(race: Race, suppressed: bool) -> None:
    """The article is restated with what was hidden of which revision; a suppression no less, though only the
    stream of visibilities tells it.
    """
    title = f"Published {suppressed}"
    page, revision = await edited_and_overwritten(race, title)
    await race.told(page, "create", "edit", "edit")
    await race.hide(title, revision, EVERYTHING, suppress=suppressed)
    *_, told = await race.told(page, "create", "edit", "edit", "visibility")
    assert told.text == "third"
    for canary in (race.canary("text"), race.canary("comment"), race.address):
        race.withdrawn(canary, told)
    await race.ends(published=4)


async def test_hidden_and_shown_again_while_it_is_fetched(race: Race) -> None:
    """The cut-off is never lifted: the answer from between comes out as the stream says it is by then, and
    the restated article too.
    """
    with race.hold_next("before", 2) as hold:
        page, revision = await edited_and_overwritten(race, "Shown")
        await hold.arrived.wait()
        cut_off = await race.cutoffs()
        await race.hide("Shown", revision, EVERYTHING)
        await race.cut_off(cut_off + 1)
        await race.show("Shown", revision)
        await race.read(4)
    _, second, _, hidden, shown = await race.told(page, "create", "edit", "edit", "visibility", "visibility")
    assert second.text == race.canary("text")
    assert second.sequence < hidden.sequence < shown.sequence
    assert shown.article["event"]["revision"]["visibility"] == dict.fromkeys(
        ("text", "editor", "comment"), True
    )
    await race.ends(published=5)


@pytest.mark.parametrize("what", ["comment", "user"])
async def test_the_newest_revision_is_hidden_while_it_is_fetched(race: Race, what: str) -> None:
    """The article comes out without it, twice: as the edit and restated."""
    title = f"Newest {what}"
    canary = {"comment": race.canary("newest"), "user": race.address}[what]
    page = (await race.save(title, "first"))["pageid"]
    await race.told(page, "create")
    with race.hold_next("after") as hold:
        edit = await race.save(title, "second", by=race.address, comment=race.canary("newest"))
        await hold.arrived.wait()
        cut_off = await race.cutoffs()
        await race.hide(title, edit["newrevid"], what)
        await race.cut_off(cut_off + 1)
    _, edited, told = await race.told(page, "create", "edit", "visibility")
    assert edited.text == told.text == "second"
    race.never(canary)
    await race.ends(published=3)


@pytest.mark.parametrize("answers_are_old", [False, True])
async def test_killed_between_a_hiding_and_its_edit(race: Race, answers_are_old: bool) -> None:
    """The cut-off is committed, neither change is. After the restart the text is not published, though a
    replica that lags still has it.
    """
    title = f"Killed hidden {answers_are_old}"
    with race.hold_next("after", 2) as hold:
        page, revision = await edited_and_overwritten(race, title)
        await hold.arrived.wait()
        lag = race.gate.lag(race.wiki.name) if answers_are_old else None
        cut_off = await race.cutoffs()
        await race.hide(title, revision, EVERYTHING)
        await race.cut_off(cut_off + 1)
        await race.told(page, "create")
        await race.service.kill()
    await race.restarted()
    _, second, _, _ = await race.told(page, "create", "edit", "edit", "visibility")
    assert second.text is None
    for canary in (race.canary("text"), race.canary("comment"), race.address):
        race.never(canary)
    await race.ends(published=4)
    assert lag is None or lag.met
