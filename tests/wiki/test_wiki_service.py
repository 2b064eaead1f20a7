"""The service on the real wikis: what is particular to them."""

import asyncio
from pathlib import Path

from harness.mediawiki import WikiFarm
from harness.mediawiki.following import followed
from harness.mediawiki.founding import PASSWORD
from harness.mediawiki.mirror import Mirror
from recording_setup import KEYS

from streamer.canary.run import Options, run_once
from streamer.canary.verdict import Verdict
from streamer.canary.wiki import Bot

WIKI = "enproof"
STEWARD, WRITER = "Steward", "Writer"
DEADLINE_S = 60.0


async def save(farm: WikiFarm, title: str, text: str, wiki: str = WIKI) -> None:
    await farm.wikis[wiki].act(WRITER, "edit", title=title, text=text)


async def equal(farm: WikiFarm, mirror: Mirror) -> None:
    wrong = await mirror.differs_from(await farm.truth(), timeout_s=DEADLINE_S)
    assert not wrong, wrong


async def test_an_article_has_the_words_licence_and_language_of_its_wiki(
    farm: WikiFarm, tmp_path: Path
) -> None:
    """Of each of them: none is a constant, and page ids are the same on all."""
    async with followed(farm, tmp_path) as (_, mirror):
        for name in farm.wikis:
            await save(farm, "A page", f"Words of {name}.", name)
        await equal(farm, mirror)
        assert len(mirror.newest) == 3
        for (name, _), article in mirror.newest.items():
            wiki = farm.wikis[name]
            assert article["article_body"]["wikitext"] == f"Words of {name}."
            assert article["is_part_of"]["in_language"]["identifier"] == wiki.language
            assert article["in_language"]["direction"] == ("rtl" if wiki.language == "ar" else "ltr")
            assert [licence["url"] for licence in article["license"]] == [wiki.licence_url]


async def test_an_answer_that_grows_old_does_not_bring_a_deleted_page_back(
    farm: WikiFarm, tmp_path: Path
) -> None:
    """It was asked for before the deletion, and arrives after it was read."""
    async with followed(farm, tmp_path) as (service, mirror):
        with farm.gate.hold(when="after") as hold:
            await save(farm, "Doomed", "what must not come out")
            await asyncio.wait_for(hold.arrived.wait(), DEADLINE_S)
            await farm.wikis[WIKI].act(STEWARD, "delete", title="Doomed")
            await equal(farm, mirror)
        await service.until(lambda told: _outcome(told, "gone") == 1)
        assert [held.deleted for held in mirror.pages.values()] == [True]
        assert not any("article_body" in article for article in mirror.newest.values())


async def test_what_a_replica_does_not_know_yet_is_asked_for_again(farm: WikiFarm, tmp_path: Path) -> None:
    """A lag that is shorter than the patience for missing revisions loses nothing."""
    async with followed(farm, tmp_path, missing_retry_s=6) as (service, mirror):
        with farm.gate.lag(WIKI, 0.7) as lag:
            for number in range(3):
                await save(farm, f"Young {number}", f"words {number}")
            await equal(farm, mirror)
            assert lag.met >= 2
        assert _outcome(await service.metrics(), "gone") == 0


async def test_a_wiki_that_is_down_is_caught_up_with(farm: WikiFarm, tmp_path: Path) -> None:
    """The others go on meanwhile."""
    async with followed(farm, tmp_path) as (_, mirror):
        farm.gate.down(WIKI, "reset")
        await save(farm, "Here", "down")
        await save(farm, "There", "up", "deproof")
        async with asyncio.timeout(DEADLINE_S):
            while not any(name == "deproof" for name, _ in mirror.pages):
                await asyncio.sleep(0.05)
        assert not any(name == WIKI for name, _ in mirror.pages)
        farm.gate.up(WIKI)
        await equal(farm, mirror)


async def test_a_silent_stream_is_left_and_resumed_without_a_hole(farm: WikiFarm, tmp_path: Path) -> None:
    """The watchdog gives the connection up; what was told meanwhile comes by the next one."""
    async with followed(farm, tmp_path, silence_s=2) as (_, mirror):
        await save(farm, "Before", "heard")
        await equal(farm, mirror)
        farm.silence(600)
        await save(farm, "Meanwhile", "unheard")
        farm.switch_over()
        await save(farm, "After", "by the other data centre")
        await equal(farm, mirror)
        assert farm.stream_requests["stream_resumed"] >= 1


def _outcome(told: dict[str, float], outcome: str) -> float:
    return sum(
        value
        for name, value in told.items()
        if name.startswith("streamer_committed_changes_total{")
        and f'outcome="{outcome}"' in name
        and 'role="enrich"' in name
    )


async def test_the_canary_edits_a_real_wiki_and_finds_its_edit_in_the_feed(
    farm: WikiFarm, tmp_path: Path
) -> None:
    """Logged in, by the token that the wiki gives, and with the very text; the second run edits the page that
    the first has made. A password that is wrong is said to be refused, and nothing is edited.
    """
    async with followed(farm, tmp_path) as (service, _):

        def options(password: str) -> Options:
            return Options(
                feed=f"http://127.0.0.1:{service_port}/v2/articles",
                key=lambda: KEYS["everything"],
                wiki=WIKI,
                page="Canary",
                api=f"{farm.endpoint}/w/api.php",
                server=farm.wikis[WIKI].server_name,
                bot=lambda: Bot(WRITER, password),
                user_agent="a canary's test",
                tls=True,
                limit_s=DEADLINE_S,
                deadline_s=DEADLINE_S,
                interval_s=1.0,
                host="127.0.0.1",
                port=0,
            )

        service_port = await service.port()
        for _ in range(2):
            verdict = await run_once(options(PASSWORD))
            assert verdict is not None
            assert (verdict.outcome, verdict.reason) == ("arrived", "")
        assert await run_once(options("wrong")) == Verdict("failed", "wiki: the login was refused")
        edits = farm.wikis[WIKI].rows("SELECT actor_name FROM revision JOIN actor ON rev_actor = actor_id")
        assert edits.count((WRITER,)) == 2
