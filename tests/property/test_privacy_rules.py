"""No name, no address and no temporary account is in any byte that leaves without them."""

import html
import unicodedata
from random import Random
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamer.model import encode_value
from streamer.privacy import Policy
from streamer.projection import Projection
from streamer.userspaces import UserSpaces

SECRET: Final = b"a secret of thirty-two characters"
SPECIAL, USER, TALK = -1, 2, 3
WIKIS: Final[dict[str, dict[int, list[str]]]] = {
    "enwiki": {SPECIAL: ["Special"], USER: ["User", "U"], TALK: ["User talk", "UT"]},
    "dewiki": {SPECIAL: ["Spezial"], USER: ["Benutzer", "Benutzerin"], TALK: ["Benutzer Diskussion", "BD"]},
    "frwiki": {SPECIAL: ["Spécial"], USER: ["Utilisateur", "Utilisatrice"], TALK: ["Discussion utilisateur"]},
    "arwiki": {SPECIAL: ["خاص"], USER: ["مستخدم", "مستخدمة"], TALK: ["نقاش المستخدم"]},
    "jawiki": {SPECIAL: ["特別"], USER: ["利用者"], TALK: ["利用者‐会話"]},
    "hewiki": {SPECIAL: ["מיוחד"], USER: ["משתמש", "משתמשת"], TALK: ["שיחת משתמש"]},
}
SPACES = UserSpaces()
for wiki, names in WIKIS.items():
    SPACES.take(
        wiki,
        {number: forms[0] for number, forms in names.items()},
        {form: number for number, forms in names.items() for form in forms[1:]},
    )
ALPHABETS: Final = (
    "bcdfghjklmnpqrstvwxz",
    "àéîöüñçøßłščž",
    "бвгджзклмнпрстфхцчшщ",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "田中鈴木佐藤高橋伊東渡辺山本",
    "あいうえおかきくけこサシスセソタチツテト",
    "กขคงจฉชซดตถทนบปผพฟมยรลว",
    "𐌰𐌱𐌲😀🎉🦀",
)
JOINTS: Final = ("", "", "", " ", " ", "-", ".", "'", "&", "+", "(", ")", "*", "$", "^", "\\", "!", "?", ",")
"""What may stand in a name beside letters, much of it special to regular expressions."""


def a_name(random: Random) -> str:
    """Of at least four signs, so that no word of JSON or of the article has it by chance."""
    letters = random.choice(ALPHABETS)

    def part() -> str:
        return "".join(random.choice(letters) for _ in range(random.randint(3, 8)))

    name = part() + random.choice(JOINTS) + part()
    return unicodedata.normalize("NFC", name[:1].upper() + name[1:])


def an_account(random: Random) -> tuple[str, dict[str, bool]]:
    """Any user, and what the wiki says of it."""
    form = random.random()
    if form < 0.15:
        return ".".join(str(random.randrange(256)) for _ in range(4)), {"is_anonymous": True}
    if form < 0.25:
        return ":".join(f"{random.randrange(0x1000, 0x10000):X}" for _ in range(8)), {"is_anonymous": True}
    if form < 0.35:
        return f"~2026-{random.randrange(10_000, 99_999)}-{random.randrange(10, 99)}", {"is_temporary": True}
    return a_name(random), {"is_anonymous": False, "is_temporary": False}


def written(random: Random, name: str) -> str:
    """As a comment may have it: MediaWiki takes all of these for the same."""
    if random.random() < 0.3:
        name = name.replace(" ", random.choice(("_", "  ", " _")))
    if random.random() < 0.3:
        name = name[:1].lower() + name[1:]
    if random.random() < 0.2:
        name = "\u200f".join((name[:2], name[2:]))
    form = random.random()
    if form < 0.15:
        return quote(name)
    if form < 0.2:
        return quote(quote(name, safe=""))
    if form < 0.3:
        return "".join(f"&#{ord(letter)};" for letter in name)
    if form < 0.35:
        return html.escape(name)
    return name


def mention(random: Random, name: str) -> str:
    """Of a user, in a form by which a comment's reader knows that it is one."""
    wiki = random.choice(list(WIKIS))
    space = random.choice([form for number in (USER, TALK) for form in WIKIS[wiki][number]])
    if random.random() < 0.3:
        space = random.choice((space.replace(" ", "_"), space.upper(), f" {space} ", f":{wiki[:2]}:{space}"))
    form = random.randrange(6)
    target = f"{space}:{written(random, name)}"
    if form == 0:
        return f"[[{WIKIS[wiki][SPECIAL][0]}:Contributions/{written(random, name)}|{written(random, name)}]]"
    if form == 1:
        return f"[[{target}/sub page#x|{written(random, name)}]]"
    if form == 2:
        return "{{ping|" + written(random, name) + "}}"
    if form == 3 and len(space) > 2:
        return f"({target.strip()})]"
    if form == 4:
        return f"?user={quote(name)}&x"
    return f"[[{target}|talk]]"


def a_comment(random: Random, editor: str, others: list[str]) -> str:
    """The editor is named in any way; others in ways that tell that they are users, and then in any way."""
    words = [
        "rv",
        "وقال",
        "版へ",
        "/* History */",
        "[[Foo|bar]]",
        "100%",
        "&amp;",
        "לגרסה",
        "<b>",
        "12:30:45",
    ]
    parts = [random.choice(words) for _ in range(random.randrange(6))]
    parts += [written(random, editor) for _ in range(random.randrange(3))]
    for other in others:
        parts.insert(random.randrange(len(parts) + 1), mention(random, other))
        if random.random() < 0.3:
            parts.append(f"[[User:{other}]] {written(random, other)}")
    comment = random.choice((" ", " ", "、")).join(parts)
    return comment[:1_000] if random.random() < 0.9 else comment + "%25" * random.randrange(12)


def an_article(random: Random) -> tuple[bytes, list[str]]:
    """With users in all fields that can name one; and their names."""
    editor, flags = an_account(random)
    others = [an_account(random)[0] for _ in range(random.randrange(3))]
    owner = random.choice([editor, *others, a_name(random)])
    wiki = random.choice(list(WIKIS))
    number = random.choice((0, 1, USER, TALK, USER))
    space = WIKIS[wiki][number][0] if number in (USER, TALK) else ""
    title = f"{space}:{owner}{random.choice(('', '/drafts', f'/{owner}'))}" if space else "Some article"
    if random.random() < 0.2:
        number, outer = random.choice(((90, "Thread"), (828, "Module"), (1198, "Translations")))
        inner = random.choice([form for which in (USER, TALK) for form in WIKIS[wiki][which]])
        title = f"{outer}:{inner}:{owner}/{random.choice(('x', owner))}"
    encoded = quote(title.replace(" ", "_"), safe=";@$!*(),/~:")
    index = "https://x.example/w/index.php"
    article: dict[str, Any] = {
        "name": title,
        "identifier": random.randrange(10**6),
        "url": f"https://x.example/wiki/{encoded}",
        "namespace": {"identifier": number, "name": space},
        "is_part_of": {"identifier": wiki},
        "event": {"identifier": "e", "type": "update", "kind": "move", "sequence": 1},
        "version": {
            "identifier": 7,
            "comment": a_comment(random, editor, [*others, owner]),
            "editor": {"identifier": 9, "name": editor, "groups": [editor], "is_bot": False, **flags},
        },
        "article_body": {"wikitext": "text"},
        "visibility": {"text": True, "editor": True, "comment": True},
        "attribution": {
            "text": f"“{title}”, contributors to X, CC BY-SA 4.0",
            "revision_url": f"{index}?title={encoded}&oldid=7",
            "history_url": f"{index}?title={encoded}&action=history",
        },
    }
    if random.random() < 0.5:
        was = random.choice((USER, TALK))
        name = f"{WIKIS[wiki][was][0]}:{owner}/old"
        article["event"]["previous"] = {"name": name, "namespace": {"identifier": was}}
    if random.random() < 0.5:
        other = random.choice(list(WIKIS))
        article["redirect_target"] = f"{random.choice(WIKIS[other][USER])}:{owner}"
        article["redirects"] = [{"name": article["redirect_target"], "url": f"https://x/{quote(owner)}"}]
    if random.random() < 0.2:
        del article["version"]["editor"]["name"]
    return encode_value(article), [editor, owner, *others]


def same(text: str) -> str:
    """What a reader, or MediaWiki, takes for the same, however it is encoded."""
    for _ in range(10):
        deeper = html.unescape(unquote(text))
        if deeper == text:
            break
        text = deeper
    text = unicodedata.normalize("NFC", text.replace("\u200f", ""))
    return " ".join(text.replace("_", " ").casefold().split())


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for part in (*value.keys(), *value.values()) for text in texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


@given(
    st.integers(0), st.sampled_from(("pseudonym", "none")), st.sampled_from(("", "editor", "comment", "left"))
)
def test_no_name_leaves(seed: int, kind: Any, taken: str) -> None:
    """Whatever else a record goes through: a cut-off that hides a part, a move out of the partner's scope."""
    value, names = an_article(Random(seed))
    policy = Policy.of(kind, "acme", SECRET, SPACES)
    hides: Any = frozenset({taken}) & {"editor", "comment"}
    made = Projection(policy=policy).apply(value, hides=hides, removed=taken == "left")
    said = same(" \n ".join(texts(msgspec.json.decode(made))))
    for name in names:
        assert same(name) not in said, (name, made.decode())
    assert made == Projection(policy=policy).apply(value, hides=hides, removed=taken == "left")


@given(st.integers(0))
def test_the_check_finds_names(seed: int) -> None:
    """Under `full` they are all there: what finds none above would find them."""
    value, names = an_article(Random(seed))
    said = same(" \n ".join(texts(msgspec.json.decode(value))))
    assert [name for name in names if same(name) in said]
    assert Projection(policy=Policy()).apply(value) == value
