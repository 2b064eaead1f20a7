"""`streamer partner add|list|rotate|remove` on a file that people wrote."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamer.errors import ConfigError
from streamer.partners import KEY_PREFIX, NOBODY, Demands, authenticate, hash_key, load_partners
from streamer.partners_edit import add_partner, list_partners, remove_partner, rotate_partner

OLD_KEY = "sha256:" + "1" * 64
WRITTEN = f"""\
# Our partners. Ask before you change anything.

# acme: contract 17
[acme]   # since 2024
keys = [
  "{OLD_KEY}",  # the first one
]
wikis = ["enwiki"]

# beta: a trial
[beta]
bots = false

[beta.limits]
connections = 3

# the end
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "partners.toml"
    path.write_text(WRITTEN)
    path.chmod(0o640)
    return path


def comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


def test_add_shows_the_secret_once(file: Path) -> None:
    """The secret opens, only its hash is in the file, and not a character of what was there is changed."""
    secret = add_partner(file, "new", {"wikis": ["dewiki"], "bots": False})
    assert secret.startswith(KEY_PREFIX)
    assert len(secret) - len(KEY_PREFIX) >= 160 / 6
    text = file.read_text()
    assert text.startswith(WRITTEN)
    assert secret not in text
    assert hash_key(secret) in text
    partner = authenticate(load_partners(file), secret)
    assert partner is not None
    assert (partner.name, partner.wikis, partner.bots) == ("new", ("dewiki",), False)
    assert file.stat().st_mode & 0o777 == 0o640


def test_add_makes_the_file(tmp_path: Path) -> None:
    """Its owner's alone."""
    file = tmp_path / "partners.toml"
    secret = add_partner(file, "first")
    assert authenticate(load_partners(file), secret) is not None
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "Acme", "a" * 41, "a b", "a.b", "../etc", "é"])
def test_bad_names(file: Path, name: str) -> None:
    """A name that can't be a topic's, a user's and a table's is refused before anything is written."""
    with pytest.raises(ConfigError, match="1 to 40 of a-z, 0-9 and -"):
        add_partner(file, name)
    assert file.read_text() == WRITTEN


def test_who_is_and_is_not_there(file: Path) -> None:
    """A second one of a name, and changes to nobody, are refused with what to do."""
    with pytest.raises(ConfigError, match="exists already; `rotate`"):
        add_partner(file, "acme")
    for change in (rotate_partner, remove_partner):
        with pytest.raises(ConfigError, match="no such partner; there are: acme, beta"):
            change(file, "nobody")
    with pytest.raises(ConfigError, match="there is none"):
        remove_partner(file.with_name("other.toml"), "acme")
    assert not file.with_name("other.toml").exists()
    assert file.read_text() == WRITTEN


def test_bad_rules_change_nothing(file: Path) -> None:
    """Rules that the loader would refuse never get into the file."""
    with pytest.raises(ConfigError, match=r"new\.kinds"):
        add_partner(file, "new", {"kinds": ["edits"]})
    assert file.read_text() == WRITTEN
    assert sorted(path.name for path in file.parent.iterdir()) == [".partners.toml.lock", "partners.toml"]


def test_rotate_keeps_the_newest_two(file: Path) -> None:
    """The key before stays valid while partners change over; a third one retires the first."""
    second = rotate_partner(file, "acme")
    assert load_partners(file)["acme"].keys == (OLD_KEY, hash_key(second))
    third = rotate_partner(file, "acme")
    assert load_partners(file)["acme"].keys == (hash_key(second), hash_key(third))
    fourth = rotate_partner(file, "acme", drop_old=True)
    assert load_partners(file)["acme"].keys == (hash_key(fourth),)
    assert set(comments(WRITTEN)) - set(comments(file.read_text())) <= {"# the first one"}


def test_rotate_gives_a_first_key(file: Path) -> None:
    """A partner that was written by hand, without a key."""
    secret = rotate_partner(file, "beta")
    found = authenticate(load_partners(file), secret)
    assert found is not None
    assert (found.name, found.bots, found.limits.connections) == ("beta", False, 3)


def test_remove_keeps_the_comments_of_others(file: Path) -> None:
    """The table goes with what is inside it; what stands in front of the next one stays."""
    remove_partner(file, "acme")
    assert set(load_partners(file)) == {"beta"}
    assert "# beta: a trial\n[beta]" in file.read_text()
    assert "# the end" in file.read_text()


def test_remove_takes_sub_tables(file: Path) -> None:
    """`[beta.limits]` is part of beta."""
    remove_partner(file, "beta")
    assert set(load_partners(file)) == {"acme"}
    assert "limits" not in file.read_text()


def test_remove_of_the_last_one_is_valid(file: Path) -> None:
    """The file then says that it is empty on purpose, until somebody is added."""
    remove_partner(file, "acme")
    remove_partner(file, "beta")
    assert load_partners(file) == {}
    assert NOBODY in file.read_text()
    add_partner(file, "again")
    assert NOBODY not in file.read_text()
    assert set(load_partners(file)) == {"again"}


@pytest.mark.parametrize("text", ["acme = { bots = false }\n[beta]\n", "acme.bots = false\n[beta]\n"])
def test_remove_of_other_spellings(file: Path, text: str) -> None:
    """TOML has more than one way to write a table."""
    file.write_text(text)
    remove_partner(file, "acme")
    assert set(load_partners(file)) == {"beta"}


def test_a_wrong_file_is_not_touched(file: Path) -> None:
    """A command never repairs by guessing."""
    file.write_text("[acme\n")
    with pytest.raises(ConfigError, match="is not TOML"):
        add_partner(file, "new")
    assert file.read_text() == "[acme\n"


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    """The file behind it is replaced."""
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    add_partner(link, "new")
    assert link.is_symlink()
    assert "new" in load_partners(file)


def test_list_shows_rules_and_no_key(file: Path) -> None:
    """One line a partner, and nothing where there is no file."""
    assert list_partners(file) == ["acme  1 key  wikis=enwiki", "beta  0 keys  bots=false"]
    assert list_partners(file.with_name("other.toml")) == []


def test_two_commands_at_once(file: Path) -> None:
    """Neither loses what the other one wrote."""
    code = (
        "import sys; from pathlib import Path; from streamer.partners_edit import add_partner\n"
        "for i in range(8): add_partner(Path(sys.argv[1]), f'{sys.argv[2]}-{i}')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(file), name]) for name in ("x", "y")]
    assert [process.wait(30) for process in running] == [0, 0]
    names = {f"{name}-{i}" for name in ("x", "y") for i in range(8)}
    assert set(load_partners(file)) == names | {"acme", "beta"}


def test_what_the_service_would_not_take(file: Path) -> None:
    """A file that does not go with the settings is not written; the table that doesn't can be taken out."""
    file.write_text(file.read_text() + '[slow]\nsettle = "4h"\n')
    before, demands = file.read_text(), Demands(history_s=6 * 3600)
    with pytest.raises(ConfigError, match=r"slow\.settle: 4h is more than half of log\.history_hours = 6"):
        add_partner(file, "new", demands=demands)
    with pytest.raises(ConfigError, match=r"slow\.settle"):
        rotate_partner(file, "acme", demands=demands)
    assert file.read_text() == before
    remove_partner(file, "slow", demands)
    assert set(load_partners(file, demands)) == {"acme", "beta"}
