"""Articles as partners get them, one of each kind: invented, for the published schema.

Made by the model, so that what is shown is what comes.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from streamer.deliver.examples import ARTICLE, LICENCE
from streamer.model import (
    Article,
    ArticleBody,
    Attribution,
    Entity,
    Event,
    EventType,
    Image,
    Kind,
    Language,
    Licence,
    MaintenanceTags,
    Maybe,
    Namespace,
    PreviousPlace,
    PreviousVersion,
    Project,
    Protection,
    RevisionVisibility,
    Size,
    Version,
    Visibility,
    encode_value,
    identifier_of_revision,
)

SITE: Final = "https://en.wikipedia.org"
INDEX: Final = f"{SITE}/w/index.php"
_BY_SA: Final = [Licence("CC BY-SA 4.0", LICENCE, "CC-BY-SA-4.0")]
_CC0: Final = [
    Licence("Creative Commons CC0", "https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0")
]


def _event(number: int, kind: Kind, is_type: EventType = "update") -> Event:
    return Event(
        identifier_of_revision("enwiki", number),
        is_type,
        kind,
        1_795_262_401_250_000 + number,
        "2026-11-21T12:00:00.000Z",
        "2026-11-21T12:00:01.250Z",
    )


def _body(wikitext: str, text: str | Maybe = UNSET) -> tuple[ArticleBody, dict[str, Any]]:
    return ArticleBody(wikitext, text), {
        "number_of_characters": len(wikitext),
        "size": Size(len(wikitext.encode())),
    }


def _version(article: Article) -> Version:
    assert article.version is not UNSET
    return article.version


def _created() -> Article:
    body, figures = _body("The '''lamp fish''' is an invented fish.", "The lamp fish is an invented fish.")
    title = f"{INDEX}?title=Lamp_fish"
    return replace(
        ARTICLE,
        name="Lamp fish",
        identifier=80_000_001,
        url=f"{SITE}/wiki/Lamp_fish",
        event=_event(1, "create"),
        abstract="The lamp fish is an invented fish.",
        date_created="2026-11-21T12:00:00Z",
        version=replace(
            _version(ARTICLE), identifier=1_290_000_011, parent_identifier=0, comment="a page", **figures
        ),
        previous_version=UNSET,
        article_body=body,
        attribution=Attribution(
            "\u201cLamp fish\u201d by the contributors to Wikipedia (en.wikipedia.org), licensed under"
            f" CC BY-SA 4.0 ({LICENCE}).",
            "Lamp fish",
            f"{title}&oldid=1290000011",
            f"{title}&action=history",
            _BY_SA,
        ),
    )


def _edited() -> Article:
    """With all that hints tell, and a picture."""
    return replace(
        ARTICLE,
        date_previously_modified="2026-11-20T08:30:12Z",
        version=replace(
            _version(ARTICLE),
            tags=["mobile edit"],
            maintenance_tags=MaintenanceTags(2, 0, 0, 1),
            scores={"revertrisk": {"prediction": False, "probability": {"true": 0.25, "false": 0.75}}},
        ),
        main_entity=Entity("Q42", "https://www.wikidata.org/entity/Q42"),
        protection=[Protection("edit", "autoconfirmed", "infinity")],
        image=Image("https://upload.wikimedia.org/wikipedia/commons/0/00/Invented.jpg", 800, 600),
    )


def _moved() -> Article:
    created = _created()
    return replace(
        created,
        event=replace(_event(3, "move"), previous=PreviousPlace("Lampfish", Namespace(0, ""))),
        date_created=UNSET,
        version=replace(_version(created), identifier=1_290_000_013, parent_identifier=1_290_000_011),
        previous_version=PreviousVersion(1_290_000_011),
    )


def _deleted() -> Article:
    created = _created()
    return Article(
        created.name,
        created.identifier,
        created.url,
        created.namespace,
        created.is_part_of,
        _event(4, "delete", "delete"),
        version=Version(1_290_000_013),
        in_language=created.in_language,
    )


def _hidden() -> Article:
    created = _created()
    seen = Visibility(text=False, editor=False)
    return Article(
        created.name,
        created.identifier,
        created.url,
        created.namespace,
        created.is_part_of,
        replace(
            _event(5, "visibility", "visibility-change"), revision=RevisionVisibility(1_290_000_013, seen)
        ),
        date_modified="2026-11-21T11:58:00Z",
        version=Version(1_290_000_013, is_current=True, parent_identifier=1_290_000_011),
        in_language=created.in_language,
        visibility=seen,
    )


def _redirect() -> Article:
    created = _created()
    body, figures = _body("#REDIRECT [[Lamp fish]]", "")
    title = f"{INDEX}?title=Lampfish"
    attribution = created.attribution
    assert attribution is not UNSET
    return replace(
        created,
        name="Lampfish",
        identifier=80_000_002,
        url=f"{SITE}/wiki/Lampfish",
        event=_event(6, "create"),
        abstract=UNSET,
        version=replace(_version(created), identifier=1_290_000_014, **figures),
        article_body=body,
        attribution=replace(
            attribution,
            text=attribution.text.replace("Lamp fish", "Lampfish"),
            title="Lampfish",
            revision_url=f"{title}&oldid=1290000014",
            history_url=f"{title}&action=history",
        ),
        redirect_target="Lamp fish",
    )


def _item() -> Article:
    """Of Wikidata: JSON, and no prose."""
    body, figures = _body(
        '{"type":"item","id":"Q900000001","labels":{"en":{"language":"en","value":"lamp fish"}}}'
    )
    site = "https://www.wikidata.org"
    return replace(
        ARTICLE,
        name="Q900000001",
        identifier=120_000_001,
        url=f"{site}/wiki/Q900000001",
        is_part_of=Project("wikidatawiki", "Wikidata", site, Language("en", "English", "ltr")),
        event=_event(7, "edit"),
        abstract=UNSET,
        version=replace(
            _version(ARTICLE),
            identifier=2_200_000_002,
            parent_identifier=2_200_000_001,
            content_model="wikibase-item",
            maintenance_tags=UNSET,
            **figures,
        ),
        previous_version=PreviousVersion(2_200_000_001),
        article_body=body,
        license=_CC0,
        attribution=Attribution(
            "\u201cQ900000001\u201d by the contributors to Wikidata (www.wikidata.org), licensed under"
            f" Creative Commons CC0 ({_CC0[0].url}).",
            "Q900000001",
            f"{site}/w/index.php?title=Q900000001&oldid=2200000002",
            f"{site}/w/index.php?title=Q900000001&action=history",
            _CC0,
        ),
    )


def _right_to_left() -> Article:
    """Title and text run from right to left, the sentence that names them from left to right."""
    name, wiki, site = "דג המנורה (דג)", "ויקיפדיה", "https://he.wikipedia.org"
    path = "%D7%93%D7%92_%D7%94%D7%9E%D7%A0%D7%95%D7%A8%D7%94_(%D7%93%D7%92)"
    body, figures = _body("'''דג המנורה''' הוא דג שהומצא.", "דג המנורה הוא דג שהומצא.")
    hebrew = Language("he", "Hebrew", "rtl")
    return replace(
        ARTICLE,
        name=name,
        identifier=2_900_001,
        url=f"{site}/wiki/{path}",
        is_part_of=Project("hewiki", wiki, site, hebrew),
        event=_event(8, "edit"),
        abstract="דג המנורה הוא דג שהומצא.",
        version=replace(
            _version(ARTICLE),
            identifier=43_000_002,
            parent_identifier=43_000_001,
            maintenance_tags=MaintenanceTags(citation_needed_count=1),
            **figures,
        ),
        previous_version=PreviousVersion(43_000_001),
        in_language=hebrew,
        article_body=body,
        attribution=Attribution(
            f"\u201c\u2068{name}\u2069\u201d by the contributors to \u2068{wiki}\u2069 (he.wikipedia.org),"
            f" licensed under CC BY-SA 4.0 ({LICENCE}).",
            name,
            f"{site}/w/index.php?title={path}&oldid=43000002",
            f"{site}/w/index.php?title={path}&action=history",
            _BY_SA,
        ),
    )


def _delivered(article: Article, offset: int) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(encode_value(article))
    told["event"] |= {"partition": 0, "offset": offset}
    return told


EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    name: _delivered(make(), offset)
    for offset, (name, make) in enumerate(
        {
            "create": _created,
            "edit": _edited,
            "move": _moved,
            "delete": _deleted,
            "visibility": _hidden,
            "redirect": _redirect,
            "Wikidata item": _item,
            "right to left": _right_to_left,
        }.items()
    )
}
