"""What the streams told, and what must be admitted for it. Imports nothing of the service's reading of them.

recentchange                edit, new         a change of that revision
log               perhaps a restatement (protect, import, …)
mediawiki.page_change       move, delete,     a change; of a move that leaves a redirect, two
undelete
…revision-visibility-change                   a change
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from prove.wiki import Json

NAMES: Final = uuid.UUID("6e1f2c1a-6d3c-5f0b-9a77-0f2b64d1c7d3")

PAGE_CHANGES: Final = ("move", "delete", "undelete")


@dataclass(slots=True)
class Told:
    """Identifiers with their time (Unix s): `required` must be admitted, each once; `allowed` may be."""

    required: dict[str, float] = field(default_factory=dict)
    allowed: dict[str, float] = field(default_factory=dict)

    def at_s(self, identifier: str) -> float | None:
        return self.required.get(identifier, self.allowed.get(identifier))

    def wrongs(self, admitted: Sequence[str]) -> list[str]:
        """Of the identifiers in the log of changes."""
        times = Counter(admitted)
        return [
            *(f"told and never admitted: {name}" for name in self.required if name not in times),
            *(f"admitted twice: {name}" for name, count in times.items() if count > 1),
            *(f"admitted and never told: {name}" for name in times if self.at_s(name) is None),
        ]


def told_by(events: Iterable[Json]) -> Told:
    told = Told()
    for event in events:
        meta = event["meta"]
        assert isinstance(meta, dict)
        if meta["domain"] == "canary":
            continue
        at_s = datetime.fromisoformat(meta["dt"]).timestamp()
        named = str(uuid.uuid5(NAMES, str(meta["id"])))
        stream = str(meta["stream"]).removeprefix("mediawiki.")
        if stream == "recentchange" and event["type"] in ("edit", "new"):
            revision = event["revision"]
            assert isinstance(revision, dict)
            told.required[str(uuid.uuid5(NAMES, f"{event['wiki']}|rev|{revision['new']}"))] = at_s
        elif stream == "recentchange" and event["type"] == "log":
            told.allowed[named] = at_s
        elif stream.startswith("page_change.") and event["page_change_kind"] in (
            "move",
            "delete",
            "undelete",
        ):
            told.required[named] = at_s
            if "created_redirect_page" in event:
                told.required[str(uuid.uuid5(NAMES, f"{named}|redirect"))] = at_s
        elif stream == "revision-visibility-change":
            told.required[named] = at_s
    return told
