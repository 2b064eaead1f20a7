"""What the wikis call the namespaces whose titles name people: users', their talk, special pages.

Told by their own site info in `wiki.meta.v1`, and taken together: a comment on one wiki links to another's.
Those of the large languages are known before.
"""

import unicodedata
from typing import Final

import msgspec
from msgspec import Struct

from streamer.log.base import Stored

USER: Final = frozenset({2, 3})
NAMING: Final = frozenset({-1, *USER})
"""`Special:Contributions/Name` is the most usual of all."""
CANONICAL: Final = ("User", "User talk", "Special")
"""Understood by every wiki beside its own."""
LARGE: Final = (
    "Benutzer, Benutzerin, Benutzer Diskussion, Benutzerin Diskussion, Spezial",
    "Utilisateur, Utilisatrice, Discussion utilisateur, Discussion utilisatrice, Spécial",
    "Usuario, Usuaria, Usuario discusión, Usuaria discusión, Conversa usuario, Especial",
    "Utente, Discussioni utente, Speciale",
    "Usuário, Usuária, Usuário(a), Usuário Discussão, Usuária Discussão, Usuário(a) Discussão",
    "Discussão do usuário, Utilizador, Utilizadora, Utilizador Discussão, Discussão do utilizador",
    "Gebruiker, Overleg gebruiker, Speciaal",
    "Użytkownik, Użytkowniczka, Dyskusja użytkownika, Dyskusja użytkowniczki, Specjalna",
    "Wikipedysta, Wikipedystka, Dyskusja wikipedysty, Dyskusja wikipedystki",
    "Участник, Участница, Обсуждение участника, Обсуждение участницы, Служебная",
    "Користувач, Користувачка, Обговорення користувача, Обговорення користувачки, Спеціальна",
    "Корисник, Корисница, Разговор са корисником, Разговор са корисницом, Посебно",  # noqa: RUF001 - Serbian
    "Потребител, Потребител беседа, Специални",
    "Användare, Användardiskussion, Bruker, Brukerdiskusjon, Spesial, Bruger, Brugerdiskussion, Speciel",
    "Käyttäjä, Keskustelu käyttäjästä, Toiminnot",
    "Wikipedista, Wikipedistka, Diskuse s wikipedistou, Diskuse s wikipedistkou, Speciální",
    "Uživatel, Uživatelka, Diskuse s uživatelem, Diskuse s uživatelkou",
    "Szerkesztő, Szerkesztővita, Speciális",
    "Utilizator, Discuție Utilizator, Usuari, Usuari Discussió, Discussió usuari",
    "Kullanıcı, Kullanıcı mesaj, Özel",  # noqa: RUF001 - Turkish
    "Χρήστης, Χρήστρια, Συζήτηση χρήστη, Συζήτηση χρήστριας, Ειδικό",
    "利用者, 利用者‐会話, 利用者・トーク, 特別",  # noqa: RUF001 - the hyphen is the wiki's
    "用户, 用戶, 使用者, 用户讨论, 用戶討論, 用户对话, 用戶對話, 使用者討論, 使用者讨论, 特殊",
    "사용자, 사용자토론, 사용자 토론, 특수, 특수기능",
    "مستخدم, مستخدمة, نقاش المستخدم, نقاش المستخدمة, خاص",
    "کاربر, بحث کاربر, ویژه",
    "משתמש, משתמשת, שיחת משתמש, שיחת משתמשת, מיוחד",
    "Thành viên, Thảo luận Thành viên, Đặc biệt",
    "Pengguna, Pembicaraan Pengguna, Istimewa",
    "ผู้ใช้, คุยกับผู้ใช้, พิเศษ",
    "सदस्य, सदस्य वार्ता, विशेष, ব্যবহারকারী, ব্যবহারকারী আলাপ, বিশেষ",
)
"""What MediaWiki ships for the languages that most wikis link to: a comment may name a wiki's user where that
wiki is not admitted, and so has not said it.
"""
_LETTERS: Final = 3
"""A shorter alias (`U:`, `BD:`) is looked for as a word, where words are not joined: others end with it."""
_UNSEEN: Final = dict.fromkeys(
    (0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF)
)
"""Marks of direction and joiners: MediaWiki takes them out of titles, and they split no name."""
_DOT_ABOVE: Final = {0x0307: None}
"""What is left over of a lowered İ."""


def plain(text: str) -> str:
    """Without what is not seen, in Unicode's composed form."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", text.translate(_UNSEEN))


def folded(text: str) -> str:
    """What MediaWiki takes for the same, and a reader too: spaces and underscores, upper and lower case."""
    return " ".join(plain(text).replace("_", " ").casefold().translate(_DOT_ABOVE).split())


def joins(name: str) -> bool:
    """Of a script without case: most of these put no spaces, or join words."""
    return any(letter.isalpha() and letter.lower() == letter.upper() for letter in name)


_SHIPPED: Final = frozenset(map(folded, (*CANONICAL, *", ".join(LARGE).split(", "))))


class _Site(Struct):
    """As much of a wiki's site info as is looked at."""

    namespaces: dict[int, str]
    aliases: dict[str, int] | None = None
    """None: kept by a version that did not ask for them."""


class UserSpaces:
    """Follows the meta topic through a Table. A name that a wiki gives up is kept: old comments have it."""

    def __init__(self) -> None:
        self._wikis: set[str] = set()
        self._names = set(_SHIPPED)
        self._lengths = tuple(sorted(set(map(len, _SHIPPED))))
        """Of the names."""

    def apply(self, stored: Stored) -> None:
        if stored.value is None or "/" in stored.key or "." in stored.key:
            return  # a partner's start, a topic's epoch, a tick
        try:
            site = msgspec.json.decode(stored.value, type=_Site)
        except msgspec.MsgspecError:
            return  # enrich says so
        self.take(stored.key, site.namespaces, site.aliases)

    def take(self, wiki: str, namespaces: dict[int, str], aliases: dict[str, int] | None) -> None:
        """Without aliases (None) the wiki stays unknown: comments may link by one."""
        for number in NAMING & namespaces.keys():
            self._add(namespaces[number])
        for name, number in (aliases or {}).items():
            if number in NAMING:
                self._add(name)
        if aliases is not None:
            self._wikis.add(wiki)

    def _add(self, name: str) -> None:
        name = folded(name)
        if not name:
            return
        self._names.add(name)
        self._lengths = tuple(sorted({*self._lengths, len(name)}))

    def knows(self, wiki: str) -> bool:
        """Whether it has said what its namespaces are called."""
        return wiki in self._wikis

    def has(self, name: str) -> bool:
        return folded(name) in self._names

    def ends(self, text: str) -> bool:
        """Whether the text ends with such a name: in some scripts no space would stand before it."""
        tail = folded(text[-2 * self._lengths[-1] :])
        return any(
            tail[-length:] in self._names
            and (length >= _LETTERS or joins(tail[-length:]) or not tail[-length - 1 : -length].isalnum())
            for length in self._lengths
        )

    def split(self, title: str) -> tuple[str, str] | None:
        """A title that names somebody, parted behind its namespace; other wikis' prefixes may stand before
        it. None: it names nobody.
        """
        *prefixes, rest = title.split(":")
        while prefixes:
            if self.has(prefixes[-1].rpartition("/")[2]):
                return ":".join([*prefixes, ""]), rest
            rest = f"{prefixes.pop()}:{rest}"
        return None
