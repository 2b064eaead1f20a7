"""A real MediaWiki 1.39, three times, with the event streams that it tells by itself.

    async with WikiFarm(folder) as farm:          a folder of its own; 1.5 s to start, or less with `origin=`,
                                                  a folder that several farms share
        farm.endpoint, farm.stream_url, farm.allowed_hosts
                                                  for mediawiki.endpoint, source.url, mediawiki.hosts
        farm.wikis["enproof"]                     a Wiki: name, server_name, language, licence, licence_url
        await farm.deed(rng)                      a random deed; its name, None where the wiki refused
        await farm.do("move", "enproof", rng)     that one; False where the wiki refused
        farm.done, farm.refused                   Counters: by deed; by "deed: the wiki's word"
        await farm.settled()                      nothing runs any more, all events are in the stream
        await farm.truth()                        (wiki, page id) → Truth: what a reader without rights finds
        farm.cut(abort=…), farm.silence(seconds), farm.switch_over()
                                                  what happens to the stream's connections and topics
        farm.connections                          how many streams are open
        farm.relay.heard                          every event so far, as Told(wiki, number, stream, event)
        farm.gate.requests                        Counter: what the service asked, by wiki
        farm.gate.asked                           each as Asked(wiki, path, params), .names(revision or title)
        farm.gate.hold(matching, when="after")    → Hold: .arrived (an Event), .met, .release(); a context too
        farm.gate.lag("enproof", seconds)         → Lag: a replica that is behind, or (0) stands still
        farm.gate.alter(change, matching)         → Alter: answers as JSON, changed
        farm.gate.down("enproof", "reset"), farm.gate.up("enproof")
        farm.check()                              raises EventLost, WikiBroken; leaving the farm does so too

`absent()` says why there is no MediaWiki here and what to install, or "". Tests take the fixture `farm` of
`tests/wiki/conftest.py`, which skips with that.
"""

from harness.mediawiki.deeds import DEEDS, Pages
from harness.mediawiki.editors import Refused, Wiki, WikiBroken
from harness.mediawiki.farm import WikiFarm
from harness.mediawiki.gate import Asked, Gate, anything
from harness.mediawiki.packages import absent
from harness.mediawiki.relay import EventLost, Told
from harness.mediawiki.truth import Truth

__all__ = [
    "DEEDS",
    "Asked",
    "EventLost",
    "Gate",
    "Pages",
    "Refused",
    "Told",
    "Truth",
    "Wiki",
    "WikiBroken",
    "WikiFarm",
    "absent",
    "anything",
]
