"""How an invented wiki is made: its people, and pages with a history, all from one seeded generator."""

from collections.abc import Sequence
from random import Random
from typing import Final

from streamer.sandbox.languages import NAMESPACES, Author, Language
from streamer.sandbox.pages import Deed, Site, User
from streamer.sandbox.wiki import Wiki

DOMAIN: Final = "sandbox.example"
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
HISTORY_MS: Final = 30 * DAY_MS
PICTURED: Final = 3
"""Of articles every so many has a picture."""
SPREAD: Final = (0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 10, 14)
"""Namespaces, as often as they shall occur."""


def found_site(language: Language, licence: tuple[str, str]) -> Site:
    return Site(
        f"{language.code}sandbox",
        f"{language.code}.{DOMAIN}",
        f"Sandbox ({language.name})",
        language.code,
        language.rtl,
        *licence,
        dict(NAMESPACES) | dict(language.namespaces),
    )


def found_wiki(
    site: Site,
    language: Language,
    author: Author,
    *,
    people: Sequence[User],
    rng: Random,
    start_ms: int,
    count: int,
) -> Wiki:
    """`count` pages with one to three revisions each, all older than `start_ms`."""
    wiki = Wiki(site, language.redirect)
    for number in range(count):
        written_ms = start_ms - HISTORY_MS + number * HOUR_MS // 2
        namespace = rng.choice(SPREAD) if number else 0
        title = free_title(wiki, author, namespace)
        text, model = author.article(title), "wikitext"
        if number == 1:
            title, model = f"{site.namespaces[8]}:Common.css", "css"
            text = f".{site.wiki} {{ color: green }}\n"
        page = wiki.create(title, text, Deed(rng.choice(people), author.comment(), written_ms), model=model)
        if namespace == 0 and rng.random() < 0.5:
            page.main_entity = f"Q{900_000_000 + rng.randrange(1_000_000)}"
        page.is_disambiguation = namespace == 0 and rng.random() < 0.05
        page.image = f"Invented {number}.png" if namespace == 0 and not number % PICTURED else ""
        for _ in range(rng.randint(0, 2)):
            written_ms += HOUR_MS
            wiki.edit(
                page,
                revised(page.current.text, model, author),
                Deed(rng.choice(people), author.comment(), written_ms),
            )
    return wiki


def revised(text: str, model: str, author: Author) -> str:
    return author.revised(text) if model == "wikitext" else f"{text}/* {author.word()} */\n"


def free_title(wiki: Wiki, author: Author, namespace: int = 0) -> str:
    """Never that of a deleted page either, so that it can be restored."""
    prefix = wiki.site.namespaces[namespace]
    deleted = {page.title for page in wiki.deleted.values()}
    while True:
        name = author.title()
        title = f"{prefix}:{name}" if prefix else name
        if wiki.titled(title) is None and title not in deleted:
            return title


def people(author: Author, rng: Random, start_ms: int) -> list[User]:
    """An administrator first, two bots, some with accounts, some without, a temporary one last."""
    since_ms = start_ms - 400 * DAY_MS

    def account(name: str, *groups: str) -> User:
        return User(
            name,
            rng.randint(1_000, 9_999_999),
            ("*", "user", "autoconfirmed", *groups),
            is_bot="bot" in groups,
            edit_count=rng.randint(1, 90_000),
            registered_ms=since_ms + rng.randrange(300 * DAY_MS),
        )

    return [
        account(f"Keeper {author.title()}", "sysop", "suppress"),
        *(account(f"{author.title()}Bot", "bot") for _ in range(2)),
        *(account(author.title()) for _ in range(6)),
        User(f"192.0.2.{rng.randint(1, 254)}"),
        User(f"198.51.100.{rng.randint(1, 254)}"),
        User(f"2001:DB8:{rng.randrange(65536):X}:0:0:0:0:{rng.randrange(1, 65536):X}"),
        temporary(rng, start_ms),
    ]


def temporary(rng: Random, now_ms: int) -> User:
    """Named as MediaWiki names them: a year and a running number."""
    year = 1970 + int(now_ms / DAY_MS / 365.2425)
    name = f"~{year}-{rng.randrange(10_000, 90_000)}-{rng.randrange(10, 100)}"
    identifier = 10_000_000 + rng.randrange(1_000_000)
    return User(name, identifier, ("*", "temp"), is_temporary=True, registered_ms=now_ms)
