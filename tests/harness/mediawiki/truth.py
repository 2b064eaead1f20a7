"""What a reader without any rights finds on a wiki now, page by page; deleted ones too."""

from dataclasses import dataclass
from typing import Any, Final

from harness.mediawiki.editors import Wiki

BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class Truth:
    """`revision` is the newest, of a deleted page the newest that the archive holds (0: none, its revisions
    went elsewhere). `sha1`, hex, is of the text that everybody may read; None where nobody may.
    """

    title: str
    deleted: bool
    revision: int
    sha1: str | None
    comment_hidden: bool = False
    user_hidden: bool = False


async def truth_of(wiki: Wiki) -> dict[int, Truth]:
    found = dict(_deleted(wiki, await _namespaces(wiki)))
    pages = [str(number) for (number,) in wiki.rows("SELECT page_id FROM page ORDER BY page_id")]
    for start in range(0, len(pages), BATCH):
        answer = await wiki.read(
            action="query",
            pageids="|".join(pages[start : start + BATCH]),
            prop="revisions",
            rvprop="ids|sha1|comment|user",
        )
        for page in answer["query"]["pages"]:
            revision = page["revisions"][0]
            found[page["pageid"]] = Truth(
                page["title"],
                deleted=False,
                revision=revision["revid"],
                sha1=None if "sha1hidden" in revision else revision["sha1"],
                comment_hidden=revision.get("commenthidden", False),
                user_hidden=revision.get("userhidden", False),
            )
    return found


async def _namespaces(wiki: Wiki) -> dict[int, str]:
    answer = await wiki.read(action="query", meta="siteinfo", siprop="namespaces")
    spaces: dict[str, Any] = answer["query"]["namespaces"]
    return {int(number): space["name"] for number, space in spaces.items()}


def _deleted(wiki: Wiki, namespaces: dict[int, str]) -> dict[int, Truth]:
    """By the log of deletions, the restricted one included: the archive alone forgets a page whose revisions
    were restored onto another.
    """
    gone: dict[int, Truth] = {}
    rows = wiki.rows(
        "SELECT log_page, log_namespace, log_title FROM logging"
        " WHERE log_type IN ('delete', 'suppress')"
        " AND log_action IN ('delete', 'delete_redir', 'delete_redir2')"
        " ORDER BY log_id"
    )
    for page, namespace, key in rows:
        [(newest,)] = wiki.rows("SELECT max(ar_rev_id) FROM archive WHERE ar_page_id = ?", page)
        prefix = f"{namespaces[namespace]}:" if namespace else ""
        title = prefix + _text(key).replace("_", " ")
        gone[page] = Truth(title, deleted=True, revision=newest or 0, sha1=None)
    return gone


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
