"""What wikis call the namespaces that name people."""

import msgspec
import pytest

from streamer.log.base import Stored
from streamer.model import encode_value
from streamer.origin.answer import SiteInfo
from streamer.userspaces import LARGE, UserSpaces

NAMESPACES = {-1: "Spezial", 0: "", 2: "Benotzer", 4: "Wikipedia"}
ALIASES = {"Benotzerin": 2, "WP": 4, "BD": 3}
SITE = SiteInfo("dewiki", "d", "D", "de", "ltr", NAMESPACES, "", "", "", "", "", 1, ALIASES)


def stored(key: str, value: bytes | None) -> Stored:
    return Stored("wiki.meta.v1", 0, 0, 0, key, value)


def test_site_info_tells_them() -> None:
    """As enrich keeps it in the meta topic; other namespaces are none, and canonical names always count."""
    spaces = UserSpaces()
    assert not spaces.knows("dewiki")
    assert not spaces.has("Benotzer")
    for _ in range(2):
        spaces.apply(stored("dewiki", encode_value(SITE)))
    assert spaces.knows("dewiki")
    assert all(map(spaces.has, ("Benotzer", "benotzerin", " BD ", "SPEZIAL", "User_talk", "user", "special")))
    assert not any(map(spaces.has, ("Wikipedia", "WP", "", "Talk", "Benutze")))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("partner/acme", encode_value({"namespaces": {"2": "Partner"}})),
        ("wiki.articles.v1", encode_value({"namespaces": {"2": "Partner"}})),
        ("dewiki", None),
        ("dewiki", b"\xff{"),
        ("dewiki", b"{}"),
    ],
)
def test_what_is_no_site_info(key: str, value: bytes | None) -> None:
    """Starts, epochs, tombstones and what does not decode: nothing is learned by it."""
    spaces = UserSpaces()
    spaces.apply(stored(key, value))
    assert not spaces.knows("dewiki")
    assert not spaces.has("Partner")


def test_what_is_known_before_a_wiki_says_so() -> None:
    """The names of large languages, for titles; comments of the wiki wait for its own word. None is short
    enough to end a usual word.
    """
    spaces = UserSpaces()
    assert all(
        map(spaces.has, ("User talk", "usuaria", "Участница", "利用者‐会話", "Kullanıcı mesaj", "Özel"))
    )
    assert not spaces.knows("eswiki")
    names = [name for line in LARGE for name in line.split(", ")]
    assert len(names) == len(set(names))
    assert not [name for name in names if name == "" or (len(name) < 4 and name.lower() != name.upper())]


def test_site_info_of_an_earlier_version() -> None:
    """Without aliases its names count, and the wiki is not known: comments may link by what is not told."""
    old = {name: value for name, value in msgspec.to_builtins(SITE).items() if name != "aliases"}
    spaces = UserSpaces()
    spaces.apply(stored("dewiki", encode_value(old)))
    assert spaces.has("Benotzer")
    assert not spaces.knows("dewiki")
    spaces.apply(stored("dewiki", encode_value({**old, "aliases": {}})))
    assert spaces.knows("dewiki")
    assert msgspec.json.decode(encode_value(old), type=SiteInfo).aliases == {}


@pytest.mark.parametrize(
    ("title", "parted"),
    [
        ("Benutzer:A/b:c", ("Benutzer:", "A/b:c")),
        (":de:Benutzer_:A", (":de:Benutzer_:", "A")),
        ("Wikipedia:Vandalismus/Benutzer:A", ("Wikipedia:Vandalismus/Benutzer:", "A")),
        ("User:Benutzer:A", ("User:Benutzer:", "A")),
        ("Benutzer", None),
        ("Superbenutzer: der Film", None),
        ("", None),
        (":", None),
    ],
)
def test_titles_that_name_somebody(title: str, parted: tuple[str, str] | None) -> None:
    """They are parted behind the namespace, whatever stands before it."""
    spaces = UserSpaces()
    spaces.apply(stored("dewiki", encode_value(SITE)))
    assert spaces.split(title) == parted
