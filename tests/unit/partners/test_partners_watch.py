"""partners.toml while the service runs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamer import partners
from streamer.config import LogSettings, Settings
from streamer.errors import ConfigError
from streamer.metrics import REGISTRY
from streamer.partners import NOBODY, Demands, PartnersWatch, load_partners, mistakes, parse_partners

POLL_S = 0.002
GOOD = '[acme]\nwikis = ["enwiki"]\n'
BETTER = '[acme]\nwikis = ["dewiki"]\n[beta]\n'


@asynccontextmanager
async def watching(file: Path) -> AsyncIterator[PartnersWatch]:
    watch = PartnersWatch(file, poll_s=POLL_S)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(watch.run())
        yield watch
        running.cancel()


def invalid() -> float | None:
    return REGISTRY.get_sample_value("streamer_partners_file_invalid")


async def alarm() -> None:
    async with asyncio.timeout(30):
        while not invalid():
            await asyncio.sleep(POLL_S)


async def in_force(watch: PartnersWatch, generation: int) -> int:
    async with asyncio.timeout(30):
        return await watch.changed(generation)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "partners.toml"
    path.write_text(GOOD)
    return path


async def test_a_change_comes_into_force(file: Path) -> None:
    """A new file is in force with a new generation, for everybody who waits."""
    async with watching(file) as watch:
        first = watch.generation
        waiting = [asyncio.create_task(in_force(watch, first)) for _ in range(3)]
        file.write_text(BETTER)
        assert {await task for task in waiting} == {watch.generation}
        assert watch.generation > first
        assert watch.current["acme"].wikis == ("dewiki",)
        assert set(watch.current) == {"acme", "beta"}


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "\n# nothing here\n",
        '[acme]\nwikis = ["enw',
        GOOD + "colour = 1\n",
        GOOD + "[Beta]\n",
        GOOD + '[beta]\nkinds = ["edits"]\n',
        GOOD + '[beta]\nkeys = ["wrs_the-secret-itself"]\n',
        GOOD + "[beta]\nwrs_the-secret-itself = 1\n",
        GOOD + "[wrs_the-secret-itself]\n",
        GOOD + "beta = " + "[" * 100_000,
    ],
    ids=[
        "emptied",
        "comments",
        "half-written",
        "typo",
        "name",
        "kind",
        "plain-key",
        "key-as-key",
        "key-as-name",
        "deep",
    ],
)
async def test_a_wrong_file_changes_nothing(file: Path, wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    """The rules before it stay, an alarm is raised that quotes nothing, and the next good file is taken."""
    async with watching(file) as watch:
        before = watch.current
        with caplog.at_level(logging.ERROR):
            file.write_text(wrong)
            await alarm()
        assert watch.current is before
        assert watch.generation == 1
        (record,) = caplog.records
        assert "the-secret" not in str(vars(record))
        file.write_text(BETTER)
        await in_force(watch, 1)
        assert invalid() == 0


async def test_missing_file_at_the_start(tmp_path: Path) -> None:
    """No file is no partners; the first one that is written is taken."""
    file = tmp_path / "partners.toml"
    async with watching(file) as watch:
        assert watch.current == {}
        file.write_text(GOOD)
        await in_force(watch, watch.generation)
        assert set(watch.current) == {"acme"}


async def test_removed_file(file: Path) -> None:
    """A file that is gone for some polls serves nobody."""
    async with watching(file) as watch:
        file.unlink()
        await in_force(watch, 1)
        assert watch.current == {}


async def test_emptied_on_purpose(file: Path) -> None:
    """The line that `remove` leaves behind says that nobody is meant."""
    async with watching(file) as watch:
        file.write_text(f"# old friends\n{NOBODY}\n")
        await in_force(watch, 1)
        assert watch.current == {}
        assert invalid() == 0


async def test_comments_change_nothing(file: Path) -> None:
    """A change that means nothing is no new generation: no stream is cut, no rule compiled."""
    async with watching(file) as watch:
        file.write_text("# a comment\n" + GOOD)
        loads = "streamer_partners_reloads_total"
        before = REGISTRY.get_sample_value(loads, {"result": "applied"}) or 0
        async with asyncio.timeout(30):
            while (REGISTRY.get_sample_value(loads, {"result": "applied"}) or 0) == before:
                await asyncio.sleep(POLL_S)
        assert watch.generation == 1


async def test_since_is_kept(file: Path) -> None:
    """A partner's first sight stays when others come."""
    async with watching(file) as watch:
        since_ms = watch.since_ms("acme")
        file.write_text(BETTER)
        await in_force(watch, 1)
        assert watch.since_ms("acme") == since_ms <= watch.since_ms("beta")


def test_wrong_at_the_start(file: Path) -> None:
    """There are no rules before it to keep: the service says what is wrong and doesn't start."""
    file.write_text("[acme]\nwiki = 1\n")
    with pytest.raises(ConfigError, match=r"acme\.wiki: unknown key; allowed here: .*wikis"):
        PartnersWatch(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[a]\nsettle = """0s\n"""\n', r"a\.settle: .* regex"),
        (f'[a]\nkeys = ["""sha256:{"a" * 64}\n"""]\n', r"a\.keys.* regex"),
        ('[a]\neditor = "nobody"\n', r"a\.editor"),
        ('[a]\nfields = ["verzion.*"]\n', r"a\.fields: field with name 'verzion\.\*' not found"),
        ('[a]\nwikis = ["en.wikipedia.org"]\n', r"a\.wikis: .*database names"),
        ("[a]\nmin_size = 10\nmax_size = 5\n", r"a\.max_size: is below min_size"),
        ("[a]\nmax_revert_risk = 1.5\n", r"a\.max_revert_risk: expected `float` <= 1"),
        ("[a]\nmin_size_change = -1\n", r"a\.min_size_change: expected `int` >= 0"),
        ("[a]\nwithout_tags = true\n", r"a\.without_tags"),
        (
            f'[a]\nkeys = ["sha256:{"0" * 64}"]\n[b]\nkeys = ["sha256:{"0" * 64}"]\n',
            r"b\.keys: the partner a",
        ),
        ("a = 1\n", r"a: is not a table"),
    ],
)
def test_what_tables_may_not_say(text: str, message: str) -> None:
    """Each refusal names the partner and the key; what isn't built is refused, not ignored."""
    with pytest.raises(ConfigError, match=message):
        parse_partners(text, "partners.toml")


def test_settle_of_nothing_is_allowed(file: Path) -> None:
    """`0s`, however it is written."""
    file.write_text('[a]\nsettle = "0m"\neditor = "none"\n')
    assert load_partners(file, Demands(history_s=0.5, has_secret=False))["a"].settle_s == 0


def test_settle_of_half_the_history(file: Path) -> None:
    """It is the most; what is more names both settings and the limit."""
    file.write_text('[a]\nsettle = "3h"\n')
    assert load_partners(file, Demands(history_s=6 * 3600))["a"].settle_s == 3 * 3600
    short = Demands.of(Settings(log=LogSettings(history_hours=5.5)))
    with pytest.raises(ConfigError, match=r"a\.settle: 3h .* log\.history_hours = 5\.5: at most 9900s"):
        load_partners(file, short)
    assert mistakes(file, short)
    assert not mistakes(file)


def test_pseudonyms_without_a_secret(file: Path) -> None:
    """A process that could not make them does not start, and says what it wants."""
    file.write_text('[a]\neditor = "pseudonym"\n')
    with pytest.raises(ConfigError, match=r"a\.editor: .*privacy\.secret_file.*STREAMER_PRIVACY__SECRET"):
        PartnersWatch(file, Demands(3600, has_secret=False))
    assert PartnersWatch(file, Demands(3600)).current["a"].editor == "pseudonym"


async def test_pseudonyms_wished_for_while_there_is_no_secret(file: Path) -> None:
    """The rules before stay in force, for nobody may get more of people than was asked for; an alarm."""
    file.write_text('[a]\neditor = "none"\n')
    watch = PartnersWatch(file, Demands(3600, has_secret=False), poll_s=POLL_S)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(watch.run())
        file.write_text('[a]\neditor = "pseudonym"\n')
        await alarm()
        assert watch.current["a"].editor == "none"
        running.cancel()


async def test_a_file_out_of_reach_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that can't be looked into for a moment raises the alarm and ends nobody."""
    stamp = partners._stamp

    def unreachable(_: Path) -> partners.Stamp:
        raise PermissionError(13, "Permission denied")

    async with watching(file) as watch:
        before = watch.current
        monkeypatch.setattr(partners, "_stamp", unreachable)
        await alarm()
        assert watch.current is before
        generation = watch.generation
        file.write_text(BETTER)
        monkeypatch.setattr(partners, "_stamp", stamp)
        await in_force(watch, generation)
        assert not invalid()


@pytest.mark.parametrize(
    "rule", ["max_revert_risk = 0.9", 'without_tags = ["mw-reverted"]', "min_size_change = 100"]
)
def test_a_rule_about_what_an_edit_is_worth_makes_another_feed(rule: str) -> None:
    """So one knows that it has to be rebuilt. What a table leaves out, or says as it is, changes nothing."""
    bare = parse_partners("[a]\nkeys = []\n", "p")["a"]
    assert parse_partners(f"[a]\n{rule}\n", "p")["a"].rules != bare.rules
    said = "[a]\nmax_revert_risk = 1.0\nwithout_tags = []\nmin_size_change = 0\n"
    assert parse_partners(said, "p")["a"].rules == bare.rules
