"""A recording of `recentchange` of our own: invented edits with the oddities of real ones."""

import json
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

WIKIS = {
    "enwiki": "en.wikipedia.org",
    "dewiki": "de.wikipedia.org",
    "arwiki": "ar.wikipedia.org",
    "frwiktionary": "fr.wiktionary.org",
    "wikidatawiki": "www.wikidata.org",
    "commonswiki": "commons.wikimedia.org",
}
BEGAN_S = 1_790_000_000
OTHER = (
    "abusefilter/hit",
    "patrol/patrol",
    "newusers/create",
    "block/block",
    "thanks/thank",
    "review/approve",
)


def write_recording(file: Path, rng: random.Random, *, seconds: int = 20, events: int = 600) -> None:
    """Edits, creations, moves, deletions, uploads, and what is not for us; ids repeat and step back."""
    frames = [":ok\n"]
    revision = 1_000
    titles: dict[str, list[tuple[str, int]]] = {wiki: [] for wiki in WIKIS}
    minor: set[tuple[str, str]] = set()
    """Pages whose newest edit is a minor one."""
    for number in range(events):
        wiki = rng.choice(list(WIKIS))
        time_s = BEGAN_S + number * seconds // events - rng.choice((0, 0, 0, 2))
        revision += rng.randrange(1, 5)
        row = _row(wiki, number, time_s, rng)
        known = titles[wiki]
        choice = rng.random()
        if choice < 0.2 or len(known) < 3:
            known.append((row["title"], row["namespace"]))
            row |= {"type": "new", "minor": False, "revision": {"new": revision}, "length": {"new": 90}}
        elif choice < 0.75:
            row["title"], row["namespace"] = rng.choice(known)
            row |= {"type": "edit", "minor": rng.random() < 0.2}
            (minor.add if row["minor"] else minor.discard)((wiki, row["title"]))
            row |= {"revision": {"old": revision - 1, "new": revision}, "length": {"old": 80, "new": 90}}
        elif choice < 0.85:
            row |= {"type": "categorize", "namespace": 14, "title": "Category:Things"}
        elif choice < 0.9:
            row |= _log("upload", "upload", number, {"img_sha1": "0" * 31}) | {"namespace": 6}
            row["title"] = f"File:Picture {number}.png"
        elif (
            choice < 0.93 and known[0][1] == 0
        ):  # a move within the articles: the log names no other namespace
            old = known.pop(0)
            # The redirect is answered for by the page's newest revision: an edit's bot and minor flags
            # would be judged instead of the redirect's own, which the file does not tell.
            left = rng.random() < 0.5 and (wiki, old[0]) not in minor
            row |= _log("move", "move", number, {"target": row["title"], "noredir": "0" if left else "1"})
            row["title"], row["namespace"] = old
            row["bot"] = row["bot"] and not left
        elif choice < 0.95:
            row |= _log("delete", "delete", number, [])
        elif choice < 0.97:
            row |= {"type": "142"}
        else:
            row |= _log(*rng.choice(OTHER).split("/"), number, [])
            row.pop("id")
        entry = {"topic": "codfw.mediawiki.recentchange", "partition": 0, "timestamp": time_s * 1000 + 1}
        ids = [{"topic": "eqiad.mediawiki.recentchange", "partition": 0, "offset": -1}, entry]
        frames.append(f"event: message\nid: {json.dumps(ids)}\ndata: {json.dumps(row, ensure_ascii=False)}\n")
    file.write_text("\n".join(frames) + "\n", encoding="utf-8")


def portions(recording: Path, count: int) -> list[str]:
    """The text of an `.sse`, cut between events into so many parts of about as many events each."""
    frames = re.split(r"(?<=\n\n)", recording.read_text(encoding="utf-8"))
    cuts = [len(frames) * number // count for number in range(count + 1)]
    return ["".join(frames[begin:end]) for begin, end in pairwise(cuts)]


def _row(wiki: str, number: int, time_s: int, rng: random.Random) -> dict[str, Any]:
    host = WIKIS[wiki]
    title = f"{rng.choice(('Apfel', 'تفاح', 'りんご', 'Apple'))} {number}"
    return {
        "$schema": "/mediawiki/recentchange/1.0.0",
        "meta": {
            "uri": f"https://{host}/wiki/{number}",
            "id": str(UUID(int=rng.getrandbits(128), version=4)),
            "dt": f"2026-09-21T13:{20 + (time_s - BEGAN_S) // 60:02d}:{(time_s - BEGAN_S) % 60:02d}Z",
            "domain": host,
            "stream": "mediawiki.recentchange",
            "topic": "codfw.mediawiki.recentchange",
            "partition": 0,
            "offset": 441_362_975 + number,
        },
        "id": 2**31 + number,
        "namespace": rng.choice((0, 0, 0, 1)),
        "title": title,
        "comment": "an invented comment\nwith a line break",
        "timestamp": time_s,
        "user": "~2026-12881-95",
        "bot": rng.random() < 0.3,
        "server_url": f"https://{host}",
        "server_name": host,
        "server_script_path": "/w",
        "wiki": wiki,
    }


def _log(kind: str, action: str, number: int, params: object) -> dict[str, object]:
    return {
        "type": "log",
        "log_type": kind,
        "log_action": action,
        "log_id": 5_000 + number,
        "log_params": params,
    }
