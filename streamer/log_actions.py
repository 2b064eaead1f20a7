"""What becomes of each log action that recentchange tells, one row an action.

Only what changes a page, its text, its place or what can be seen of it concerns anyone downstream.
The rest is named here too, so that an action nobody has looked at yet stands out in the metrics
(`log_unknown`) and is not mistaken for one that was judged (`log_ignored`).
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from streamer.model import Kind


class Becomes(NamedTuple):
    kind: Kind
    cause: str


Ignored = Literal["ignored", "unknown"]

ACTIONS: Final[Mapping[tuple[str, str], Becomes]] = {
    # removal and return; page_change owns these where it is configured
    ("delete", "delete"): Becomes("delete", ""),
    ("delete", "delete_redir"): Becomes("delete", "overwritten"),
    ("delete", "delete_redir2"): Becomes("delete", "overwritten"),
    ("delete", "restore"): Becomes("restore", "undelete"),
    # a place; page_change owns it where it is configured
    ("move", "move"): Becomes("move", ""),
    ("move", "move_redir"): Becomes("move", ""),
    # what can be seen of a revision; visibility-change owns it where it is configured
    ("delete", "revision"): Becomes("visibility", ""),
    # the page as it now is must be told anew: no `edit` row comes with these
    ("protect", "protect"): Becomes("refresh", "protect"),
    ("protect", "modify"): Becomes("refresh", "protect"),
    ("protect", "unprotect"): Becomes("refresh", "protect"),
    ("protect", "move_prot"): Becomes("refresh", "protect"),
    ("import", "upload"): Becomes("refresh", "import"),
    ("import", "interwiki"): Becomes("refresh", "import"),
    ("merge", "merge"): Becomes("refresh", "merge"),
    ("upload", "upload"): Becomes("refresh", "upload"),
    ("upload", "overwrite"): Becomes("refresh", "upload"),
    ("upload", "revert"): Becomes("refresh", "upload"),
    ("contentmodel", "change"): Becomes("refresh", "contentmodel"),
    ("contentmodel", "new"): Becomes("refresh", "contentmodel"),
    ("pagelang", "pagelang"): Becomes("refresh", "pagelang"),
}

IGNORED_ACTIONS: Final = frozenset(
    {
        ("delete", "event"),  # hides a log entry, not a revision
        ("delete", "flow-delete-post"),  # Flow boards are no articles
        ("delete", "flow-restore-post"),
        ("delete", "flow-delete-topic"),
        ("delete", "flow-restore-topic"),
        ("create", "create"),  # the `new` row has told it
    }
)

IGNORED_TYPES: Final = frozenset(
    {
        # of people: accounts, rights, blocks, thanks
        "block", "newusers", "rights", "autopromote", "renameuser", "gblblock", "gblrename", "gblrights",
        "globalauth", "thanks", "mwoauthconsumer", "oath", "usermerge", "checkuser-temporary-account",
        # of looking at pages, which changes none of them
        "patrol", "review", "stable", "pagetriage-curation", "pagetriage-copyvio", "pagetriage-deletion",
        "abusefilter", "abusefilterblockeddomainhit", "abusefilterprivatedetails", "spamblacklist",
        "titleblacklist", "articlefeedbackv5", "moodbar",
        # of tags: the tags stream tells them with page ids
        "tag", "managetags",
        # of tools around the pages
        "massmessage", "interwiki", "pagetranslation", "translationreview", "notifytranslators",
        "contenttranslation", "cxn", "growthexperiments", "timedmediahandler", "urlshortener", "gwtoolset",
        "liquidthreads", "campus", "course", "eparticle", "institution", "instructor", "online", "student",
        "ep", "newsletter", "zero", "wikilove", "sitenotice", "centralnotice", "campaignevents",
    }
)  # fmt: skip


def judge(log_type: str, log_action: str) -> Becomes | Ignored:
    becomes = ACTIONS.get((log_type, log_action))
    if becomes is not None:
        return becomes
    if log_type in IGNORED_TYPES or (log_type, log_action) in IGNORED_ACTIONS:
        return "ignored"
    return "unknown"
