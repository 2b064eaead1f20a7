"""The sentence that the licence asks for: what it names, and that it reads right in whatever script."""

import re
import unicodedata

import pytest

from consumers.credit import END, ISOLATE, isolated, sentence
from streamer.enrich.attribution import attribution_of
from streamer.model import Licence
from streamer.origin.answer import SiteInfo

BY_SA = Licence("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0")
SITE = SiteInfo(
    "hewiki", "he.wikipedia.org", "ויקיפדיה", "he", "rtl", {0: ""}, BY_SA.name, BY_SA.url,
    "/wiki/$1", "/w", "https://he.wikipedia.org", 0,
)  # fmt: skip


def test_it_names_title_writers_wiki_and_licence() -> None:
    """Each with what leads to it."""
    assert sentence("Lamp fish", "Wikipedia", "en.wikipedia.org", [BY_SA]) == (
        "“Lamp fish” by the contributors to Wikipedia (en.wikipedia.org), licensed under CC BY-SA 4.0"
        " (https://creativecommons.org/licenses/by-sa/4.0/)."
    )


def test_what_is_not_known_is_not_made_up() -> None:
    """A wiki without a name is its server's; without a licence none is claimed; one without an address is
    named; of two both are.
    """
    assert sentence("A", "", "x.example", []) == "“A” by the contributors to x.example."
    assert sentence("A", "W", "x.example", [Licence("Own", "")]).endswith("licensed under Own.")
    assert sentence(
        "A", "W", "x.example", [Licence("One", "https://1"), Licence("Two", "https://2")]
    ).endswith("licensed under One (https://1) and Two (https://2).")


@pytest.mark.parametrize("title", ["דג", "سمكة (حيوان)", "Lamp דג", "ފަންވަތް", "ܢܘܢܐ", "𞤂𞤫𞤻𞤮𞤤"])
def test_what_runs_from_right_to_left_is_isolated(title: str) -> None:
    """Hebrew, Arabic, a mixture, Thaana, Syriac, Adlam: nothing around it takes its direction."""
    made = attribution_of(SITE, title, 7)
    assert made.title == title
    assert f"“{ISOLATE}{title}{END}” by the contributors to {ISOLATE}ויקיפדיה{END} (he." in made.text
    outside = re.sub(f"{ISOLATE}[^{END}]*{END}", "", made.text)
    assert not {"R", "AL", "AN"} & {unicodedata.bidirectional(letter) for letter in outside}


@pytest.mark.parametrize(
    "title", ["Lamp", "Ängste", "दीपक मछली", "ปลาโคมไฟ", "ランプ魚", "灯鱼", "1984", "—"]
)
def test_what_does_not_is_plain_text(title: str) -> None:
    """No mark that a reader of text from left to right would have to take out."""
    assert isolated(title) == title


def test_its_parts_are_the_articles_own() -> None:
    """Addresses of this revision and of the history, encoded as the wiki does; the wiki's licence."""
    made = attribution_of(SITE, "דג ים", 7)
    index = "https://he.wikipedia.org/w/index.php?title=%D7%93%D7%92_%D7%99%D7%9D"
    assert (made.revision_url, made.history_url) == (f"{index}&oldid=7", f"{index}&action=history")
    assert made.license == [BY_SA]
