"""What a partner learns of editors, field by field."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from streamer.comments import MARK
from streamer.config import PRIVACY_SECRET_CHARS, PrivacySettings
from streamer.errors import ConfigError
from streamer.model import (
    Article,
    Change,
    Signal,
    Topics,
    Withdrawal,
    article_headers,
    encode_value,
)
from streamer.partners import Partner
from streamer.privacy import FULL, KEPT_OF_EDITOR, Policy, privacy_secret
from streamer.projection import FIELDS, NOT_HERE, Projection, Tree
from streamer.provision.desired import partner_acls
from streamer.userspaces import UserSpaces

SECRET = b"a secret of thirty-two characters"
USER = "Zaphod Beeblebrox"
WIKI = "enwiki"
MASKED: Final = ("pseudonym", "none")

SPACES = UserSpaces()
SPACES.take(WIKI, {-1: "Special", 2: "User", 3: "User talk"}, {})


def policy(kind: Any, partner: str = "acme", secret: bytes = SECRET) -> Policy:
    return Policy.of(kind, partner, secret, SPACES)


# ── every field, judged ────────────────────────────────────────────────────────────────────────

STAYS: Final = "stays: names nobody"
ID: Final = "stays: a number by which the wiki tells who it was (README)"
PAGE: Final = "stays: what the page says, signatures too (README)"
OF_ITS_PAGE: Final = "of a user's page: goes, for it names its page; else it stays, as what the page says"
TITLE: Final = "a user's page loses the user"
ADDRESS: Final = "of a user's page: by its id"
COMMENT: Final = "loses names"
NAME: Final = "a pseudonym, or nothing"
FLAG: Final = "stays with pseudonyms, goes with the editor"
GONE: Final = "goes"
NO_REVISION: Final = "of a user's page: by its id; goes under none"
NOT_MADE: Final = "no article of ours has it"

VERDICTS: Final[Mapping[str, str]] = {
    "name": TITLE,
    "identifier": ID,
    "url": ADDRESS,
    "namespace.identifier": STAYS,
    "namespace.name": STAYS,
    "is_part_of.identifier": STAYS,
    "is_part_of.name": STAYS,
    "is_part_of.url": STAYS,
    "is_part_of.in_language.identifier": STAYS,
    "is_part_of.in_language.name": STAYS,
    "is_part_of.in_language.direction": STAYS,
    "event.identifier": ID,  # a hash of the revision's number
    "event.type": STAYS,
    "event.kind": STAYS,
    "event.sequence": STAYS,
    "event.date_created": ID,  # the history tells who edited then
    "event.date_published": STAYS,
    "event.late": STAYS,
    "event.previous.name": TITLE,
    "event.previous.namespace.identifier": STAYS,
    "event.previous.namespace.name": STAYS,
    "event.revision.identifier": ID,
    "event.revision.visibility.text": STAYS,
    "event.revision.visibility.editor": STAYS,
    "event.revision.visibility.comment": STAYS,
    "event.partition": NOT_MADE,  # deliver's
    "event.offset": NOT_MADE,
    "abstract": PAGE,
    "date_created": ID,
    "date_modified": ID,
    "date_previously_modified": ID,
    "version.identifier": ID,
    "version.comment": COMMENT,
    "version.tags": STAYS,  # names of tools and filters
    "version.is_minor_edit": STAYS,
    "version.number_of_characters": STAYS,
    "version.size.value": STAYS,
    "version.size.unit_text": STAYS,
    "version.scores": STAYS,
    "version.editor.identifier": GONE,
    "version.editor.name": NAME,
    "version.editor.edit_count": GONE,
    "version.editor.groups": GONE,
    "version.editor.is_bot": FLAG,
    "version.editor.is_anonymous": FLAG,
    "version.editor.is_admin": GONE,
    "version.editor.is_temporary": FLAG,
    "version.editor.date_started": GONE,
    "version.is_current": STAYS,
    "version.parent_identifier": ID,
    "version.sha1": STAYS,  # of the text
    "version.content_model": STAYS,
    "version.size_change": STAYS,
    "version.reverts.oldest_identifier": ID,
    "version.reverts.newest_identifier": ID,
    "version.reverts.restored_identifier": ID,
    "version.reverts.is_repeated": STAYS,
    "version.is_reverted": STAYS,
    "version.noindex": STAYS,
    "version.maintenance_tags.citation_needed_count": STAYS,
    "version.maintenance_tags.pov_count": STAYS,
    "version.maintenance_tags.clarification_needed_count": STAYS,
    "version.maintenance_tags.update_count": STAYS,
    "previous_version.identifier": ID,
    "previous_version.number_of_characters": STAYS,
    "previous_version.size.value": STAYS,
    "previous_version.size.unit_text": STAYS,
    "previous_version.sha1": STAYS,
    "in_language.identifier": STAYS,
    "in_language.name": STAYS,
    "in_language.direction": STAYS,
    "main_entity.identifier": STAYS,
    "main_entity.url": STAYS,
    "categories.name": TITLE,
    "categories.url": ADDRESS,
    "templates.name": TITLE,
    "templates.url": ADDRESS,
    "redirects.name": TITLE,
    "redirects.url": ADDRESS,
    "article_body.wikitext": PAGE,
    "article_body.text": PAGE,
    "article_body.html": OF_ITS_PAGE,
    "article_body.sections.path": PAGE,
    "article_body.sections.level": PAGE,
    "article_body.sections.text": PAGE,
    "article_body.sections.hash": PAGE,
    "article_body.infoboxes.name": PAGE,
    "article_body.infoboxes.fields.key": PAGE,
    "article_body.infoboxes.fields.value": PAGE,
    "license.name": STAYS,
    "license.url": STAYS,
    "license.identifier": STAYS,
    "visibility.text": STAYS,
    "visibility.editor": STAYS,
    "visibility.comment": STAYS,
    "protection.type": STAYS,
    "protection.level": STAYS,  # a group's right, never a person's
    "protection.expiry": STAYS,
    "attribution.text": TITLE,
    "attribution.title": TITLE,
    "attribution.revision_url": NO_REVISION,
    "attribution.history_url": ADDRESS,
    "attribution.license.name": STAYS,
    "attribution.license.url": STAYS,
    "attribution.license.identifier": STAYS,
    "redirect_target": TITLE,
    "is_disambiguation": STAYS,
    "image.content_url": PAGE,  # a file that the page shows
    "image.width": STAYS,
    "image.height": STAYS,
}
"""Of each field that an article can have. A new one has to be judged before this passes."""


def leaves(tree: Tree, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, below in tree.items():
        found |= leaves(below, f"{prefix}{name}.") if below else {prefix + name}
    return found


def test_every_field_is_judged() -> None:
    """What can carry a name is told apart from what can't, and nothing is forgotten."""
    assert set(VERDICTS) == leaves(FIELDS)
    assert {field for field, verdict in VERDICTS.items() if verdict == NOT_MADE} == leaves(NOT_HERE)


LISTS: Final = ("categories", "templates", "redirects", "license", "protection")
ADDRESSES: Final = {
    "url": "https://en.example/wiki/User:Zaphod_Beeblebrox",
    "attribution.revision_url": "https://en.example/w/index.php?title=User:Zaphod_Beeblebrox&oldid=7",
    "attribution.history_url": "https://en.example/w/index.php?title=User:Zaphod_Beeblebrox&action=history",
}


def users_page(field: str) -> dict[str, Any]:
    """An article about a user's page by that user, in which this field names the user, as it would."""
    article: dict[str, Any] = {
        "name": "User:Other",
        "identifier": 42,
        "url": "https://en.example/wiki/User:Other",
        "namespace": {"identifier": 2},
        "is_part_of": {"identifier": WIKI},
        "event": {"previous": {"name": "User:Other", "namespace": {"identifier": 3}}},
        "version": {"editor": {"name": "Other", "is_bot": False}},
        "attribution": {
            "text": "“User:Other”",
            "history_url": "https://en.example/w/index.php?title=User:Other&action=history",
        },
    }
    *path, last = field.split(".")
    at: Any = article
    for name in path:
        at = at.setdefault(name, [{}] if name in LISTS else {})
        if isinstance(at, list):
            (at,) = at
    at[last] = ADDRESSES.get(field, f"User:{USER}")
    if field == "version.editor.name":
        at[last] = USER
    if field == "attribution.text":
        article["name"] = f"User:{USER}"
        at[last] = f"“User:{USER}”, contributors"
    if field in ADDRESSES:
        article["name"] = f"User:{USER}"
    if field.endswith(".url") and path[0] in LISTS:
        at["name"] = f"User:{USER}"
    return article


@pytest.mark.parametrize("kind", MASKED)
@pytest.mark.parametrize("field", [field for field, verdict in VERDICTS.items() if verdict != NOT_MADE])
def test_a_name_in_every_field(field: str, kind: str) -> None:
    """It is there afterwards exactly where the table says that it stays."""
    article = users_page(field)
    assert "Zaphod" in encode_value(article).decode()
    made = Projection(policy=policy(kind)).apply(encode_value(article)).decode()
    stays = VERDICTS[field] in (STAYS, ID, PAGE) or (VERDICTS[field] == FLAG and kind == "pseudonym")
    assert ("Zaphod" in made) == stays, made
    assert Projection(policy=FULL).apply(encode_value(article)) == encode_value(article)


@pytest.mark.parametrize("kind", MASKED)
def test_html_names_its_page(kind: str) -> None:
    """In its head and in every link to itself: a user's page goes without, an article keeps it, signatures
    and all.
    """
    article = users_page("article_body.html")
    article["article_body"]["wikitext"] = "words"
    made = msgspec.json.decode(Projection(policy=policy(kind)).apply(encode_value(article)))
    assert made["article_body"] == {"wikitext": "words"}
    article |= {"name": "Lamp", "namespace": {"identifier": 0}}
    article["article_body"]["wikitext"] = f"[[User:{USER}]]"
    made = msgspec.json.decode(Projection(policy=policy(kind)).apply(encode_value(article)))
    assert made["article_body"] == {"wikitext": f"[[User:{USER}]]", "html": f"User:{USER}"}


PARTS: Final = ("wikitext", "text", "html", "sections")


def rendered(title: str, space: int, wikitext: str, html: str, editor: str) -> dict[str, Any]:
    """As enrich writes it where somebody has HTML."""
    return {
        "name": title,
        "identifier": 12,
        "namespace": {"identifier": space},
        "is_part_of": {"identifier": WIKI},
        "event": {},
        "abstract": "of wikitext",
        "version": {"editor": {"name": editor}},
        "article_body": {"wikitext": wikitext, "text": "of wikitext", "html": html},
        "from_html": {"text": html, "abstract": html},
    }


@pytest.mark.parametrize("kind", MASKED)
def test_of_a_users_page_the_text_is_the_wikitexts(kind: str) -> None:
    """HTML has `{{PAGENAME}}` filled in, and so has what is made of it."""
    page = rendered(f"User:{USER}", 2, "Page of {{PAGENAME}}", f"<p>Page of {USER}", "Other")
    made = msgspec.json.decode(Projection(content=PARTS, policy=policy(kind)).apply(encode_value(page)))
    assert made["abstract"] == "of wikitext"
    assert made["article_body"] == {"wikitext": "Page of {{PAGENAME}}", "text": "of wikitext"}
    full = msgspec.json.decode(Projection(content=PARTS).apply(encode_value(page)))
    assert full["abstract"] == full["article_body"]["text"] == f"<p>Page of {USER}"


@pytest.mark.parametrize(
    ("wikitext", "html", "editor", "stays"),
    [
        ("by {{REVISIONUSER}}", f"<p>by {USER}", USER, False),
        ("by {{revisionuser}}", f"<p>by {USER}", USER, False),
        ("{{REVISIONUSER}} [[User:Lee]]", "<p>Lee <a>User:Lee</a>", "Lee", False),
        ("{{made by}}", "<p>made by Lee", "Lee", False),
        ("{{made by}}", "<p>made by A&#38;B", "A&B", False),
        ("{{made by}}", '<a href="./User:J%C3%B6rg_B">who</a>', "Jörg B", False),
        ("{{made by}}", "<p>made by 192.0.2.7", "192.0.2.7", False),
        ("{{made by}}", "<p>made by 2001:DB8:0:0:0:0:0:7", "2001:DB8:0:0:0:0:0:7", False),
        ("{{made by}}", '<a href="./User:O%27Neill_%26_co">who</a>', "O'Neill & co", False),
        ("{{made by}}", '<a href="./User:O\'Neill_%26_co">who</a>', "O'Neill & co", False),
        ("{{made by}}", '<a title="User:O&#39;Neill &amp; co">who</a>', "O'Neill & co", False),
        ("{{made by}}", "<p>by O'Neill&nbsp;&amp;&nbsp;co", "O'Neill & co", False),
        ("{{made by}}", "<p>by O'Neill\u00a0&amp;\u00a0co", "O'Neill & co", False),
        ("{{made by}}", '<a href="/w/index.php?title=User:%E7%94%B0%E4%B8%AD">who</a>', "田中", False),
        ("{{made by}}", '<a href="./User:Jörg_B">who</a>', "Jörg B", False),
        (f"[[User:{USER}]] said", f"<p>{USER} said", USER, True),
        ("{{REVISIONUSER}}", "<p>who?", USER, True),
        ("words", "<p>words", USER, True),
        ("words", "<p>words", "", True),
    ],
)
def test_html_that_says_who_made_the_revision(wikitext: str, html: str, editor: str, stays: bool) -> None:
    """Nobody has it who is not to know: be it for the partner's sake or because the editor is hidden."""
    article = encode_value(rendered("Lamp", 0, wikitext, html, editor))
    for made in (
        Projection(content=PARTS, policy=policy("none")).apply(article),
        Projection(content=PARTS, policy=policy("pseudonym")).apply(article),
        Projection(content=PARTS).apply(article, hides=frozenset({"editor"})),
    ):
        told = msgspec.json.decode(made)
        assert told["abstract"] == told["article_body"]["text"] == (html if stays else "of wikitext")
        assert told["article_body"].get("html") == (html if stays else None)
        assert "from_html" not in told
    seen = msgspec.json.decode(Projection(content=PARTS).apply(article))
    assert seen["article_body"]["html"] == html


HEADERS: Final = {
    "ce_specversion": STAYS,
    "ce_id": ID,
    "ce_type": STAYS,
    "ce_source": STAYS,  # the wiki
    "ce_subject": ID,  # wiki and page id
    "ce_time": ID,
    "ce_sequence": STAYS,
    "content-type": STAYS,
    "kind": STAYS,
    "traceparent": ID,
    "rev": ID,
    "parent": ID,
    "sha1": STAYS,
}


def test_every_header_is_judged() -> None:
    """None holds a title: policies leave them as they are."""
    article = msgspec.convert(
        {
            "name": f"User:{USER}",
            "identifier": 1,
            "url": "",
            "namespace": {"identifier": 2},
            "is_part_of": {"identifier": WIKI},
            "event": {"identifier": "i", "type": "update", "kind": "edit", "sequence": 1}
            | {"date_created": "", "date_published": ""},
            "version": {"identifier": 7, "parent_identifier": 6, "sha1": "ab", "editor": {"name": USER}},
        },
        Article,
    )
    headers = article_headers(
        article, key="enwiki:1", server_name="en.example", edited_ms=0, traceparent="00-1-1-01"
    )
    assert {name for name, _ in headers} == set(HEADERS)
    assert not [name for name, value in headers if b"Zaphod" in value]


def test_what_else_travels_names_nobody() -> None:
    """Signals, cut-offs and changes hold ids, flags and titles; and no partner may read but its own topic."""
    assert set(Signal.__struct_fields__) == {"page_id", "by", "reverted", "upstream_ms"}
    assert set(Withdrawal.__struct_fields__) == {"sequence", "hides", "below"}
    assert not {"user", "comment", "editor"} & set(Change.__struct_fields__)
    topics = {acl.name for acl in partner_acls(Topics("wiki"), "acme") if acl.kind == "topic"}
    assert topics == {"wiki.articles.v1.acme"}


# ── pseudonyms ─────────────────────────────────────────────────────────────────────────────────


def test_a_pseudonym_is_stable_and_the_partners_own() -> None:
    """The same over restarts; another one for another partner, secret or name; nothing of the name in it."""
    made = policy("pseudonym").pseudonym(USER)
    assert made == "user-gulthv3se6ctjz27mwt5yj4z"  # another one would need every feed to be made anew
    others = {
        policy("pseudonym", "other").pseudonym(USER),
        policy("pseudonym", secret=SECRET + b"!").pseudonym(USER),
        policy("pseudonym").pseudonym("Zaphod"),
    }
    assert len(others | {made}) == 4


@pytest.mark.parametrize(
    "name", ["zaphod Beeblebrox", "Zaphod_Beeblebrox", " Zaphod  Beeblebrox ", "Zaphod\u200e Beeblebrox"]
)
def test_one_user_has_one_pseudonym(name: str) -> None:
    """However MediaWiki lets the name be written."""
    assert policy("pseudonym").pseudonym(name) == policy("pseudonym").pseudonym(USER)


@pytest.mark.parametrize(
    "name",
    [
        "192.0.2.1",
        "2001:DB8:0:0:0:0:0:1",
        "192.0.2.xxx",
        "192.0.2.0/24",
        "~2026-12881-95",
        "en>192.0.2.1",
        "",
        " ",
    ],
)
def test_who_has_no_account_has_none(name: str) -> None:
    """By the form of the name: an address hashed is an address, since all of them can be tried."""
    assert policy("pseudonym").pseudonym(name) is None


@pytest.mark.parametrize("flag", ["is_anonymous", "is_temporary"])
def test_who_is_said_to_have_no_account_has_none(flag: str) -> None:
    """By the wiki's word, for wikis may name temporary accounts as they like. That it was one is told."""
    article = {"version": {"editor": {"name": "*Unregistered 7", flag: True, "identifier": 7}}}
    made = msgspec.json.decode(Projection(policy=policy("pseudonym")).apply(encode_value(article)))
    assert made == {"version": {"editor": {flag: True}}}


def test_what_is_kept_of_an_editor() -> None:
    """The pseudonym and coarse flags; whatever else there is, or will be, is not."""
    editor = {"name": USER, "is_bot": False, "is_admin": True, "groups": ["sysop"], "shoe_size": 44}
    made = msgspec.json.decode(
        Projection(policy=policy("pseudonym")).apply(encode_value({"version": {"editor": editor}}))
    )
    assert made == {"version": {"editor": {"name": policy("pseudonym").pseudonym(USER), "is_bot": False}}}
    assert "is_admin" not in KEPT_OF_EDITOR


def test_a_users_page_and_its_user_are_one() -> None:
    """Under pseudonyms the page has its user's; of an address it has none; both places of a move."""
    article = users_page("name") | {"name": "User:zaphod_Beeblebrox/Zaphod Beeblebrox's box"}
    article["event"]["previous"]["name"] = "User talk:192.0.2.1/x"
    made = msgspec.json.decode(Projection(policy=policy("pseudonym")).apply(encode_value(article)))
    assert made["name"] == f"User:{policy('pseudonym').pseudonym(USER)}/{MARK}'s box"
    assert made["event"]["previous"]["name"] == f"User talk:{MARK}/x"
    assert made["url"] == "https://en.example/w/index.php?curid=42"
    assert made["attribution"]["history_url"] == "https://en.example/w/index.php?curid=42&action=history"
    made = msgspec.json.decode(Projection(policy=policy("none")).apply(encode_value(article)))
    assert made["name"] == f"User:{MARK}/{MARK}'s box"


@pytest.mark.parametrize(
    ("title", "space", "shown"),
    [
        ("Thread:User talk:Zaphod/Hi, Zaphod", 90, "Thread:User talk:{}/Hi, […]"),
        ("Translations:User:Zaphod/Page/1/de", 1198, "Translations:User:{}/Page/1/de"),
        ("Module:User:Zaphod/x", 828, "Module:User:{}/x"),
        ("User:Zaphod/User talk:Zaphod", 2, "User:{}/User talk:{}"),
        ("User:Zaphod", 0, "User:{}"),  # of a change that could not be read
        ("Thread:User talk:192.0.2.1/Hi", 90, "Thread:User talk:[…]/Hi"),
        ("Wikipedia:Sockpuppet investigations/192.0.2.1", 4, "Wikipedia:Sockpuppet investigations/[…]"),
        ("Talk:2001:DB8:0:0:0:0:0:1", 1, "Talk:[…]"),
        ("User talk:2001:DB8:0:0:0:0:0:1/x", 3, "User talk:[…]/x"),
        ("Wikipedia:Requests/~2026-12881-95", 4, "Wikipedia:Requests/[…]"),
    ],
)
@pytest.mark.parametrize("kind", MASKED)
def test_titles_outside_the_users_own_spaces(kind: str, title: str, space: int, shown: str) -> None:
    """They lose users and addresses too, and the page's addresses with them; also where it was before."""
    path = title.replace(" ", "_")
    article = {
        "name": title,
        "identifier": 42,
        "url": f"https://en.example/wiki/{path}",
        "namespace": {"identifier": space},
        "event": {"previous": {"name": title, "namespace": {"identifier": space}}},
        "redirects": [{"name": title, "url": f"https://en.example/wiki/{path}"}, {"name": "Talk:A"}],
        "attribution": {
            "text": f"“{title}”, contributors",
            "history_url": f"https://en.example/w/index.php?title={path}&action=history",
            "revision_url": f"https://en.example/w/index.php?title={path}&oldid=7",
        },
    }
    user = (policy("pseudonym").pseudonym("Zaphod") if kind == "pseudonym" else None) or MARK
    made = msgspec.json.decode(Projection(policy=policy(kind)).apply(encode_value(article)))
    assert made["name"] == made["event"]["previous"]["name"] == shown.format(user, user)
    assert made["redirects"] == [{"name": "Talk:A"}]
    for name in ("Zaphod", "192.0.2.1", "2001", "2026"):
        assert name not in str(made)


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("User%3AZaphod/x", "User:[…]"),
        ("%2555ser&#58;Zaphod", "User:[…]"),
        ("Special:Contributions/Zaphod", "Special:[…]"),
        ("User:Zaphod/User talk:Zaphod", "User:[…]"),
        ("Talk:192.0.2%2E1", "Talk:[…]"),
        ("Caf%C3%A9", "Caf%C3%A9"),
        ("A & B: 100%", "A & B: 100%"),
    ],
)
def test_what_a_redirect_leads_to(target: str, shown: str) -> None:
    """As the text writes it, which may be encoded; what names nobody is as it was. The comment loses the
    names that it gave.
    """
    article = {
        "redirect_target": target,
        "is_part_of": {"identifier": WIKI},
        "version": {"editor": {"name": "Other"}, "comment": "for zaphod"},
    }
    made = msgspec.json.decode(Projection(policy=policy("none")).apply(encode_value(article)))
    assert made["redirect_target"] == shown
    assert (made["version"]["comment"] == f"for {MARK}") == (MARK in shown and "192" not in target)


def test_an_article_about_an_address() -> None:
    """Its title stays, as all articles' do: it has no namespace."""
    made = Projection(policy=policy("none")).apply(encode_value({"name": "1.1.1.1"}))
    assert msgspec.json.decode(made)["name"] == "1.1.1.1"


def test_an_articles_title_stays() -> None:
    """Even where it is its editor's name: the title says what the article is about."""
    article = users_page("name") | {"name": "Zaphod Beeblebrox", "namespace": {"identifier": 0}}
    article["version"] = {"editor": {"name": USER}, "comment": "on Zaphod Beeblebrox"}
    made = msgspec.json.decode(Projection(policy=policy("none")).apply(encode_value(article)))
    assert made["name"] == "Zaphod Beeblebrox"
    assert made["version"]["comment"] == f"on {MARK}"


def test_a_comment_leaves_only_where_names_can_be_looked_for() -> None:
    """Not where the editor is hidden, for a comment may begin with that name; nor of a wiki that has not said
    yet what its namespaces are called. An empty one names nobody.
    """

    def left(comment: object, *, name: str | None = USER, wiki: str = WIKI) -> object:
        version: dict[str, Any] = {"comment": comment}
        if name is not None:
            version["editor"] = {"name": name}
        article = {"is_part_of": {"identifier": wiki}, "version": version}
        made = msgspec.json.decode(Projection(policy=policy("none")).apply(encode_value(article)))
        return made["version"].get("comment")

    assert left("by [[User:X]]") == f"by {MARK}"
    assert left("by X", name=None) is None
    assert left("by X", wiki="newwiki") is None
    assert left("x" * 10_000) is None
    assert left(["by X"]) is None
    assert left("", name=None, wiki="newwiki") == ""


def test_a_hidden_editor_is_not_left_in_the_comment() -> None:
    """What a cut-off hides is looked for before it is forgotten."""
    article = users_page("name")
    article["version"] = {"editor": {"name": USER}, "comment": "Zaphod Beeblebrox moved the page"}
    for kind in MASKED:
        made = Projection(policy=policy(kind)).apply(encode_value(article), hides=frozenset({"editor"}))
        assert b"aphod" not in made
        assert msgspec.json.decode(made)["version"] == {"comment": f"{MARK} moved the page"}


def test_a_page_that_leaves_for_a_users_space() -> None:
    """The delete that says so names nobody either."""
    article = users_page("name")
    for kind in MASKED:
        made = Projection(policy=policy(kind)).apply(encode_value(article), removed=True)
        assert b"aphod" not in made


# ── the secret ─────────────────────────────────────────────────────────────────────────────────


def test_the_secret_of_a_file_or_the_environment(tmp_path: Path) -> None:
    """The file beats the setting; a short one, or none, is refused by its key and not quoted."""
    file = tmp_path / "secret"
    secret = "s" * (PRIVACY_SECRET_CHARS - 1) + "t"
    file.write_text(secret + "\n")
    assert privacy_secret(PrivacySettings()) == b""
    assert privacy_secret(PrivacySettings(secret="ef" * 20)) == b"ef" * 20
    assert privacy_secret(PrivacySettings(str(file), "ef" * 20)) == secret.encode()
    file.write_text(secret[1:])
    for path in (file, tmp_path / "nowhere", tmp_path):
        with pytest.raises(ConfigError) as raised:
            privacy_secret(PrivacySettings(str(path)))
        assert raised.value.where == "privacy.secret_file"
        assert "sss" not in str(raised.value)


def test_never_full_for_want_of_a_secret() -> None:
    """A policy of pseudonyms without one is not made."""
    with pytest.raises(ConfigError, match="acme"):
        policy("pseudonym", secret=b"")


def test_policies_tell_nothing_of_the_secret() -> None:
    """Neither what they print as nor what caches know them by; equal ones are equal, and only they."""
    one = policy("pseudonym")
    assert SECRET.decode() not in repr(one) + one.digest
    assert Projection(policy=one) == Projection(policy=policy("pseudonym"))
    assert Projection(policy=one).digest == Projection(policy=policy("pseudonym")).digest
    different = [
        one,
        policy("pseudonym", "other"),
        policy("pseudonym", secret=SECRET + b"!"),
        policy("none"),
        policy("full"),
    ]
    assert len({Projection(policy=each) for each in different}) == len(different)
    assert len({Projection(policy=each).digest for each in different}) == len(different)
    assert Projection(policy=policy("none")) == Projection(policy=policy("none", "other", b""))
    assert Projection(policy=policy("full")) == Projection()
    assert made_for_nobody(policy("none")) == made_for_nobody(policy("none", "other"))


def made_for_nobody(by: Policy) -> bytes:
    return Projection(Partner().fields, policy=by).apply(encode_value(users_page("name")))
