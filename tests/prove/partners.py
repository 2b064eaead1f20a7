"""The three partners, and what each must get: their rules as the partners file has them, and judged anew
here. Imports nothing of the service's rules.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal

from prove.wiki import Json

Passing = Literal["no", "yes", "left"]
"""`left`: the page has moved out of the partner's sight, which is told as a delete."""

ALWAYS: Final = frozenset(
    {"identifier", "name", "namespace", "is_part_of", "event", "license", "attribution"}
)
USERS: Final = frozenset({2, 3})
"""The namespaces whose titles name people."""
TAGS_OF_REVERTS: Final = frozenset({"mw-undo", "mw-rollback", "mw-manual-revert"})
MARK: Final = "[…]"
"""What stands there in the feed of who is told of none."""


@dataclass(frozen=True, slots=True)
class Partner:
    """Empty tuples restrict nothing."""

    name: str
    wikis: tuple[str, ...] = ()
    namespaces: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    bots: bool = True
    minor: bool = True
    fields: tuple[str, ...] = ()
    editor: Literal["full", "none"] = "full"

    @property
    def key(self) -> str:
        return f"wrs_proof_key_of_{self.name}"

    @property
    def table(self) -> str:
        digest = hashlib.sha256(self.key.encode()).hexdigest()
        lines = [f"[{self.name}]", f'keys = ["sha256:{digest}"]', 'content = ["wikitext"]']
        lines += [
            f"{name} = [{', '.join(map(_toml, chosen))}]"
            for name in ("wikis", "namespaces", "kinds", "fields")
            if (chosen := getattr(self, name))
        ]
        lines += [f"bots = {_toml(self.bots)}", f"minor = {_toml(self.minor)}", f'editor = "{self.editor}"']
        return "\n".join(lines) + "\n"

    @property
    def sees_all(self) -> bool:
        return not (self.wikis or self.namespaces or self.kinds) and self.bots and self.minor

    def passes(self, article: Json) -> Passing:
        """Of a record of all articles: whether this partner is told of it."""
        event, version = _object(article, "event"), _object(article, "version")
        wiki = str(_object(article, "is_part_of")["identifier"])
        if self.wikis and not any(fnmatchcase(wiki, glob) for glob in self.wikis):
            return "no"
        previous = _object(event, "previous")
        is_here = self._has(_object(article, "namespace"))
        was_here = bool(previous) and self._has(_object(previous, "namespace"))
        is_move = event["kind"] == "move"
        if is_move and was_here and not is_here:
            return "left"
        hidden = False in _object(_object(event, "revision"), "visibility").values()
        if event["type"] == "delete" or "article_body" not in article or hidden:
            return "yes" if is_here or was_here else "no"
        return "yes" if is_here and (is_move or self._wants(str(event["kind"]), version)) else "no"

    def _has(self, namespace: Json) -> bool:
        return not self.namespaces or namespace["identifier"] in self.namespaces

    def _wants(self, kind: str, version: Json) -> bool:
        if self.kinds and kind not in self.kinds:
            return False
        reverts, tags = _object(version, "reverts"), version.get("tags")
        tags = tags if isinstance(tags, list) else []
        by_tag = not reverts and not TAGS_OF_REVERTS.isdisjoint(map(str, tags))
        if by_tag or (reverts and reverts.get("is_repeated") is not True):
            return True  # it has the good text again, be it minor or a bot's
        by_bot = _object(version, "editor").get("is_bot") is True
        is_minor = version.get("is_minor_edit") is True
        return (self.bots or not by_bot) and (self.minor or not is_minor)

    def title_of(self, shown: str, title: str) -> str:
        """What the partner may be shown for a title, where it is shown `shown`: of a user's page no name."""
        space, colon, _ = title.partition(":")
        is_masked = self.editor == "none" and colon and shown.startswith(f"{space}:{MARK}")
        return shown if is_masked else title

    def unasked(self, article: Json) -> str | None:
        """What a received article holds against its partner's wishes; None where it is as it should be."""
        version = _object(article, "version")
        if self.editor == "none":
            if "editor" in version:
                return "version holds editor"
            if _object(article, "namespace").get("identifier") in USERS and MARK not in str(article["name"]):
                return "names the user whose page it is"
        if self.fields:
            wanted = ALWAYS | {field.partition(".")[0] for field in self.fields}
            if beyond := article.keys() - wanted:
                return f"holds {', '.join(sorted(beyond))}"
        return None


def partners_for(wikis: Sequence[str]) -> tuple[Partner, ...]:
    """Everything; the articles of people on about half of the wikis, projected; nameless edits."""
    some = tuple(dict.fromkeys(f"{wiki[:2]}*" for wiki in wikis[: (len(wikis) + 1) // 2]))
    return (
        Partner("everything"),
        Partner(
            "articles",
            wikis=some,
            namespaces=(0,),
            bots=False,
            fields=("name", "version.identifier", "article_body.wikitext", "visibility.*"),
        ),
        Partner("nameless", kinds=("create", "edit"), minor=False, editor="none"),
    )


def write_partners(file: Path, partners: Sequence[Partner]) -> None:
    file.write_text("\n".join(partner.table for partner in partners), encoding="utf-8")


def _object(holder: Json, name: str) -> Json:
    """{} where there is none."""
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
