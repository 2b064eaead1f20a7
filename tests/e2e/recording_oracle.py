"""What a recording of `recentchange` says that each partner must receive. Imports nothing of the service.

Content is the recording sandbox's formula; RULES are the partners of test_recording.py, written out.
"""

# fmt: off
import hashlib
import json
import pathlib
import sys
import uuid

NAMES = uuid.UUID("6e1f2c1a-6d3c-5f0b-9a77-0f2b64d1c7d3")
RULES = {
    "everything": lambda _: True,
    "words": lambda e: (e["wiki"] == "enwiki" or e["wiki"].endswith("wiktionary")) and e["namespace"] == 0
    and (e["removal"] or e["kind"] in ("create", "edit")),
    "humans": lambda e: e["namespace"] in (0, 1)
    and (e["removal"] or not (e["bot"] or e["minor"] or len(e["text"]) < 1000)),
}

def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()

def content(wiki, revision):
    line = digest(f"{wiki}:{revision}")
    return "\n\n".join([f"Revision {revision} of {wiki}."] + [line] * (1 + revision % 40))

def expected(path):
    """Partner → [(identifier, page, kind, hash of the text or None)], in the order of the file."""
    rows = [json.loads(at[6:]) for at in pathlib.Path(path).read_bytes().split(b"\n") if at[:6] == b"data: "]
    pages, last, events = {}, {}, {partner: [] for partner in RULES}
    for row in rows:
        wiki, made = row["wiki"], int(digest(f"{row['wiki']}:{row['title']}")[:7], 16) + 1
        page = pages.setdefault((wiki, row["title"]), made)
        if row.get("log_type") == "move":
            pages[wiki, row["log_params"]["target"]] = page
        row |= {"new": row.get("revision", {}).get("new", 0), "minor": row.get("minor", False)}
        last[wiki, page] = max(last.get((wiki, page), row), row, key=lambda row: row["new"])
    for row in rows:
        wiki, log, found = row["wiki"], (row.get("log_type"), row.get("log_action")), []
        page, named = pages[wiki, row["title"]], str(uuid.uuid5(NAMES, row["meta"]["id"]))
        now = content(wiki, (by := last[wiki, page])["new"] or 1_000_000 + page)
        if row["type"] in ("edit", "new"):
            new, kind = row["new"], "create" if row["type"] == "new" else "edit"
            found = [(str(uuid.uuid5(NAMES, f"{wiki}|rev|{new}")), kind, content(wiki, new), row)]
        elif log in (("upload", "upload"), ("delete", "delete"), ("move", "move")):
            kind = log[0].replace("upload", "refresh")
            found = [(named, kind, None if kind == "delete" else now, row)]
            if row["log_params"] and row["log_params"].get("noredir") == "0":
                left = {**row, "minor": by["minor"], "bot": row["bot"] and by["type"] != "edit"}
                found.append((str(uuid.uuid5(NAMES, f"{named}|redirect")), "create", now, left))
        for name, kind, text, its in found:
            event = {**its, "kind": kind, "text": text, "removal": kind in ("delete", "move")}
            for partner in [partner for partner, wanted in RULES.items() if wanted(event)]:
                events[partner].append((name, page, kind, text and digest(text)))
    return events

if __name__ == "__main__":
    print({partner: len(rows) for partner, rows in expected(sys.argv[1]).items()})
