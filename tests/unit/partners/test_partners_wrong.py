"""Partners files that are wrong in ways that would harm somebody."""

from pathlib import Path

import pytest

from streamer.errors import ConfigError
from streamer.partners import authenticate, hash_key, load_partners, mistakes

SECRET = "wrs_the-secret-itself"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "partners.toml"


@pytest.mark.parametrize(
    "wrong",
    [
        f'[a]\nkeys = ["{SECRET}"]\n',
        f'[a]\nkeys = ["sha256:{SECRET}"]\n',
        f'[a]\nkeys = "{SECRET}"\n',
        f"[a]\nkeys = [{SECRET}]\n",
        f'[a]\n"{SECRET}" = 1\n',
        f'["{SECRET}"]\n',
        f'["{SECRET}"]\n["{SECRET}"]\n',
        f'{SECRET} = "x"\n',
        f'[a]\neditor = "{SECRET}"\n',
        f'[a]\nkinds = ["{SECRET}"]\n',
        f'[a]\nfields = ["{SECRET}"]\n',
        f"[a]\nlimits = {{ {SECRET} = 1 }}\n",
    ],
)
def test_a_key_in_clear_is_refused_and_not_repeated(file: Path, wrong: str) -> None:
    """Wherever it stands: what is said names the place."""
    file.write_text(wrong)
    with pytest.raises(ConfigError) as raised:
        load_partners(file)
    for said in (str(raised.value), raised.value.where, raised.value.problem, *mistakes(file)):
        assert "the-secret" not in said
    assert file.name in str(raised.value)


def test_two_partners_with_one_key_are_refused(file: Path) -> None:
    """Whose feed it opens would be chance; the one that has it is named."""
    key = hash_key(SECRET)
    file.write_text(f'[a]\nkeys = ["{key}"]\n[b]\nkeys = ["{key}"]\n')
    with pytest.raises(ConfigError, match=r"b\.keys: the partner a has the same key"):
        load_partners(file)


@pytest.mark.parametrize("name", ["ünïcode", "\\u202ea", "a\\nb", "A", "a.b", "", "a" * 41, "аcme"])
def test_a_name_that_only_looks_like_one_is_refused(file: Path, name: str) -> None:
    """Two partners never look alike."""
    file.write_text(f'["{name}"]\n')
    with pytest.raises(ConfigError, match="1 to 40 of a-z"):
        load_partners(file)


def test_many_partners(file: Path) -> None:
    """Thousands are read, and the last one's key is found."""
    file.write_text("".join(f'[p{n}]\nkeys = ["{hash_key(f"secret {n}")}"]\n' for n in range(5_000)))
    found = authenticate(load_partners(file), "secret 4999")
    assert found
    assert found.name == "p4999"
