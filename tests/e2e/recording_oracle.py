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
    lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    pages, newest, events = {}, {}, {partner: [] for partner in RULES}
    for row in rows:
        wiki, made = row["wiki"], int(digest(f"{row['wiki']}:{row['title']}")[:7], 16) + 1
        page = pages.setdefault((wiki, row["title"]), made)
        if row.get("log_type") == "move":
            pages[wiki, row["log_params"]["target"]] = page
        newest[wiki, page] = max(newest.get((wiki, page), 0), row.get("revision", {}).get("new", 0))
    for row in rows:
        wiki, log, found = row["wiki"], (row.get("log_type"), row.get("log_action")), []
        page, named = pages[wiki, row["title"]], str(uuid.uuid5(NAMES, row["meta"]["id"]))
        now = content(wiki, newest[wiki, page] or 1_000_000 + page)
        if row["type"] in ("edit", "new"):
            new, kind = row["revision"]["new"], "create" if row["type"] == "new" else "edit"
            found = [(str(uuid.uuid5(NAMES, f"{wiki}|rev|{new}")), kind, content(wiki, new))]
        elif log in (("upload", "upload"), ("delete", "delete"), ("move", "move")):
            kind = log[0].replace("upload", "refresh")
            found = [(named, kind, None if kind == "delete" else now)]
            if row["log_params"] and row["log_params"].get("noredir") == "0":
                found.append((str(uuid.uuid5(NAMES, f"{named}|redirect")), "create", now))
        for name, kind, text in found:
            event = {"minor": False, **row, "kind": kind, "text": text, "removal": kind in ("delete", "move")}
            for partner in [partner for partner, wanted in RULES.items() if wanted(event)]:
                events[partner].append((name, page, kind, text and digest(text)))
    return events

if __name__ == "__main__":
    print({partner: len(rows) for partner, rows in expected(sys.argv[1]).items()})
