"""The example files that operators copy from."""

import tomllib
from pathlib import Path

import msgspec

from streamer.config import Settings, load
from streamer.partners import Partner, load_partners

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


def test_the_example_settings_are_the_defaults() -> None:
    """Every key stands in the example with its default, so that it can't go stale."""
    file = DEPLOY / "streamer.example.toml"
    assert load(str(file), {}) == Settings()
    written = tomllib.loads(file.read_text(encoding="utf-8"))
    for section, settings in msgspec.structs.asdict(Settings()).items():
        unset = {"requests_per_minute", "since"}  # the contact decides; there is no default
        assert set(written[section]) | unset == set(settings.__struct_fields__) | unset, section


def test_the_example_partner_shows_every_key() -> None:
    """The example loads, and no key of a partner is left out."""
    file = DEPLOY / "partners.example.toml"
    assert load_partners(file)["example"].wikis == ("enwiki", "*wiktionary")
    table = tomllib.loads(file.read_text(encoding="utf-8"))["example"]
    assert set(table) == set(Partner.__struct_fields__) - {"name"}
