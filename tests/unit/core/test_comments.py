"""A comment without the names of users."""

import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamer.comments import LEVELS, MARK, MAX_CHARS, scrubbed, without
from streamer.userspaces import UserSpaces

WIKIS: dict[str, tuple[dict[int, str], dict[str, int]]] = {
    "enwiki": ({-1: "Special", 2: "User", 3: "User talk"}, {"U": 2, "UT": 3}),
    "dewiki": (
        {-1: "Spezial", 2: "Benutzer", 3: "Benutzer Diskussion"},
        {"Benutzerin": 2, "Benutzerin Diskussion": 3, "BD": 3},
    ),
    "frwiki": ({-1: "Spécial", 2: "Utilisateur", 3: "Discussion utilisateur"}, {"Utilisatrice": 2}),
    "ruwiki": ({-1: "Служебная", 2: "Участник"}, {"У": 2, "ОУ": 3}),
    "arwiki": ({-1: "خاص", 2: "مستخدم", 3: "نقاش المستخدم"}, {}),
    "jawiki": ({-1: "特別", 2: "利用者", 3: "利用者‐会話"}, {}),
    "hewiki": ({-1: "מיוחד", 2: "משתמש", 3: "שיחת משתמש"}, {"משתמשת": 2}),
}


@pytest.fixture(scope="module")
def spaces() -> UserSpaces:
    spaces = UserSpaces()
    for wiki, (namespaces, aliases) in WIKIS.items():
        spaces.take(wiki, namespaces, aliases)
    return spaces


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("fixed a typo", "fixed a typo"),
        ("", ""),
        ("see [[Foo]] & [[WP:RS|sources]], 100%", "see [[Foo]] & [[WP:RS|sources]], 100%"),
        ("/* History */ at 12:30:45, v1.2.3, std::string", "/* History */ at 12:30:45, v1.2.3, std::string"),
        (
            "Reverted edits by [[Special:Contributions/Marvin|Marvin]] ([[User talk:Marvin]]) to [[User:X]]",
            "Reverted edits by […] ([…]) to […]",
        ),
        (
            "Änderungen von [[Spezial:Beiträge/Marvin]] ([[BD:Marvin|D]]) auf [[Benutzerin:Trillian]]",
            "Änderungen von […] ([…]) auf […]",
        ),
        ("Annulation de [[Utilisatrice:Trillian]]", "Annulation de […]"),
        (
            "استرجاع تعديلات [[خاص:مساهمات/أحمد|أحمد]] ([[نقاش المستخدم:أحمد|نقاش]])",
            "استرجاع تعديلات […] ([…])",
        ),
        (
            "[[特別:投稿記録/田中|田中]]さんの編集を[[利用者:鈴木|鈴木]]による版へ、田中様",
            "[…]さんの編集を[…]による版へ、[…]様",
        ),
        (
            "שוחזר מעריכות של [[מיוחד:תרומות/דנה|דנה]] לעריכה של [[משתמשת:רות]]",
            "שוחזר מעריכות של […] לעריכה של […]",
        ),
        ("per [[:de:Benutzer:Marvin]] and [[w:en:User:Trillian/x|her]]", "per […] and […]"),
        ("[[ user_TALK : Marvin#Hello|x]] thanks marvin", "[…] thanks […]"),
        ("from [[U:Marvin]], [[BD:Marvin]]; du: rien", "from […], […]; du: rien"),
        ("requested at User:Marvin the Android | done", "requested at User:[…]| done"),
        ("к вопросу: добавил ссылку [[Foo]]", "к вопросу: добавил ссылку [[Foo]]"),
        ("правка у:Марвин, ОУ: Марвин", "правка у:[…]"),
        ("差し戻し利用者：田中", "差し戻し利用者：[…]"),
        ("see https://en.wikipedia.org/wiki/User:Marvin", "see https://en.wikipedia.org/wiki/User:[…]"),
        ("https://x/w/index.php?title=Special:Log&user=Marvin&page=P by marvin", None),
        ("{{ping|Marvin}} {{u|Trillian}} done, Trillian", "[…] […] done, […]"),
        ("@Marvin: thanks; mail a.b@example.org", "[…] thanks; mail […]"),
        ("rv 192.0.2.17 and 192.0.2.xxx, 198.51.100.0/24", "rv […] and […], […]"),
        ("rv 2001:DB8:0:0:0:0:0:1: spam; 2001:db8::1; IP2001:DB8:1:2:3:4:5:6", "rv […]: spam; […]; IP[…]"),
        ("by ~2026-12881-95 and ~2025-1", "by […] and […]"),
        ("Zaphod moved page [[A]] to [[B]]: zaphod's, Zaphods", "[…] moved page [[A]] to [[B]]: […]'s, […]s"),
        ("User%3AMarvin", "User:[…]"),
        ("&#91;&#91;User&#58;Marvin&#93;&#93; 100%25 sure", "[…] 100% sure"),
        ("by Zap\u200ehod, Zaphod\u200f, Za%70hod, %5A%61phod", "by […], […], […], […]"),
        ("%255Aaphod", "[…]"),
        ("/* undo:0||2093345|Marvin */ marvin's", "/* undo:0||2093345|[…]*/ […]'s"),
        ("/* restore:0||2093345|192.0.2.1 */", "/* restore:0||2093345|[…]*/"),
        ("[[Special:Contributions/Marvin", "[[Special:[…]"),
        ("[[User:Marvin|[Marvin]]], cut [[User talk:Trillian#x, by Marvin, trillian", None),
        ("[[User:%4Darvin]] of Marvin", "[…] of […]"),
        ("[[User:Marvin]] of M&#97;rvin", "[…] of […]"),
        (
            "Reverted to last revision by Marvin A (TW); marvin a",
            "Reverted to last revision by […] (TW); […]",
        ),
        (
            "Reverted 2 edits by Marvin to last version by Trillian: trillian",
            "Reverted 2 edits by […] to last version by […]: […]",
        ),
        ("new version by the band, changes by hand", "new version by the band, changes by hand"),
        ("[[Usuario:Marvin]], обс. [[Участник:Trillian]], Trillian", "[…], обс. […], […]"),
        ("https://xtools.wmcloud.org/ec/en.wikipedia.org/Marvin?x marvin", None),
        ("[[:toollabs:guc/#/user/Marvin]] by Marvin", "[[:toollabs:guc/#/user/[…]]] by […]"),
        ("Marvin wrote", "Marvin wrote"),  # nothing says that this is a user
    ],
)
def test_what_is_left_of_a_comment(spaces: UserSpaces, comment: str, left: str | None) -> None:
    """Links, titles, mentions, addresses go, with every other mention of the names that they gave; and the
    editor's, who is Zaphod. What holds no name is as it was.
    """
    found = scrubbed(comment, ["Zaphod"], spaces)
    if left is None:
        assert found is not None
        assert "arvin" not in found
        assert "rillian" not in found
    else:
        assert found == left


@pytest.mark.parametrize(
    ("name", "comment", "left"),
    [
        ("the", "Fixed the typo, other: The", "Fixed […] typo, other: […]"),
        ("2024", "results of 2024", "results of […]"),
        ("Al", "Al also said: AL", "[…] also said: […]"),
        (".*", "a .* b", "a […] b"),
        ("(a+)+$", "by (a+)+$ and aaaa", "by […] and aaaa"),
        ("[x]", "by [x]", "by […]"),
        ("a\\1b", r"by a\1b", "by […]"),
        ("C++ fan", "C++_fan and c++ Fan, C%2B%2B+fan", "[…] and […], […]"),
        ("C++", "C++ and C, vitamin C", "[…] and C, vitamin C"),
        ("+ x", "by +_x, ++x", "by […], ++[…]"),
        ("+", "by +", "by […]"),
        ("محمد", "لمحمد", "ل[…]"),
        ("李", "李白 by 李", "李白 by […]"),
        ("Anna Ann", "Ann and Anna Ann", "Ann and […]"),
        ("%41dam", "by %41dam", "by […]"),
        ("user", "User:Bob|user", "[…]:[…]|[…]"),
    ],
)
def test_odd_names(spaces: UserSpaces, name: str, comment: str, left: str) -> None:
    """A name that is a word goes wherever that word stands, and so what is left may hint at it; short ones go
    as whole words alone. Nothing in a name is a pattern.
    """
    assert scrubbed(comment, [name], spaces) == left


def test_nothing_is_found_in_what_was_put_there(spaces: UserSpaces) -> None:
    """A second time changes nothing, and the mark has no letters that could be a name."""
    once = scrubbed("[[User:Marvin]] by Marvin 192.0.2.1 @x", ["user"], spaces)
    assert once is not None
    assert scrubbed(once, ["user"], spaces) == once
    assert not any(letter.isalnum() for letter in MARK)
    assert without("\x00 Marvin", ["marvin"]) == f"{MARK} {MARK}"


def test_what_can_not_be_looked_through_is_left_out(spaces: UserSpaces) -> None:
    """Encoded over and over, or longer than any wiki's comment."""
    encoded = "%" + "25" * (LEVELS + 1) + "41"
    assert scrubbed(encoded, [], spaces) is None
    assert scrubbed("x" * MAX_CHARS, [], spaces) == "x" * MAX_CHARS
    assert scrubbed("x" * (MAX_CHARS + 1), [], spaces) is None


@pytest.mark.parametrize(
    "unit",
    [
        "[[",
        "]]",
        "[[User:a",
        "[[User:a]]",
        "User:",
        "User talk:x|",
        ":",
        "%25",
        "&amp;",
        "@",
        "a@",
        "::",
        "1.",
        "~2",
        "/* undo||1|",
        "||",
        "{{u|",
        "{{u|x}}",
        "user=",
        "f:",
        "a:",
        "\u200e",
        "A ",
        "A_",
        "A",
        "*/",
        "%5B%5B",
        "&#91;",
        "利用者:",
        "[[[[|:",
        "version by ",
        "version by A",
        "version by A\n",
        "edits 1 ",
        "/user/",
        "/ec/a.",
        "/ec/a/b",
    ],
)
def test_a_hostile_comment_takes_bounded_time(spaces: UserSpaces, unit: str) -> None:
    """Whatever stands there five hundred characters long, and eight times as many."""
    for length in (500, MAX_CHARS):
        comment = (unit * length)[:length]
        began_s = time.process_time()
        scrubbed(comment, ["A" * 85, "a A a A a", "[[" * 40], spaces)
        took_s = time.process_time() - began_s
        assert took_s < length / 500, f"{took_s:.3f} s of {length}"


@given(st.text("+ _-.x\u3000", min_size=1, max_size=60), st.text("+ _-.x\u3000", min_size=1, max_size=8))
@example("+ + + + +x", "+")
@example("+_" * 40 + "x", "+ ")
@example("x " * 40 + "y", "x_+")
@settings(deadline=None)
def test_a_name_that_looks_like_what_stands_between_words(name: str, unit: str) -> None:
    """It goes, and a comment that links to it and goes on with what is nearly it takes bounded time."""
    left = scrubbed(f"by {name}!", [name], UserSpaces())
    assert left is not None
    assert name.strip(" _\u3000") in ("", "b", "y") or name.strip(" _\u3000") not in left, left
    nearly = unit * (2_000 // len(unit))
    began_s = time.process_time()
    scrubbed(f"[[User:{name}]] {nearly} x", [], UserSpaces())
    took_s = time.process_time() - began_s
    assert took_s < 4, f"{took_s:.3f} s"


def test_many_names_take_bounded_time(spaces: UserSpaces) -> None:
    """As many links as a comment can hold, each to somebody else."""
    comment = "".join(f"[[U:{number}x]]" for number in range(1_000))[:MAX_CHARS]
    began_s = time.process_time()
    assert "x" not in (scrubbed(comment, [], spaces) or "x")[:1_000]
    assert time.process_time() - began_s < 8


def test_comments_of_real_wikis(shared_data: Path, spaces: UserSpaces) -> None:
    """Of recorded edits and log entries no comment names its own user, nor one whom it links to."""
    rows = []
    for line in (shared_data / "recentchange-2021.sse").read_text().splitlines():
        if line.startswith("data: "):
            event = msgspec.json.decode(line[6:])
            if event.get("comment") and event.get("user"):
                rows.append((event["user"], event["comment"]))
    changed = 0
    for user, comment in rows:
        left = scrubbed(comment, [user], spaces)
        assert left is not None, comment
        changed += left != comment
        assert user.casefold() not in left.casefold() or len(user) < 4, (user, left)
        for target in ("[[user:", "[[user talk:", "[[special:contrib"):
            assert target not in left.casefold()
    print(f"{changed} of {len(rows)} comments held names")
    assert changed > 50
