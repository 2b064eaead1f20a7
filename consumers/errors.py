"""What can go wrong on the partner's side, as one tree.

    CorpusError
    ├── UsageError        what was asked for can't be done as it stands: exit 2
    ├── FeedError         about the feed
    │   ├── FeedRefused   it answers, and says no: a key, a parameter
    │   ├── PositionLost  what follows the position is no longer kept (410, `gap`, offsets out of range)
    │   └── BadEvent      what came is not an article
    ├── DumpError         a dump can't be read
    ├── WikiError         a wiki's API did not answer, or not as it should
    ├── StateError        the corpus file: not one, of a newer version, or in use
    │   └── StateBusy     another command is at it just now
    ├── SinkError         what a corpus is written out to can't be written, or is not what we wrote
    └── NotThere          what was asked for is not in the corpus, or was withdrawn

Each message says what, which, and what to do about it; none holds a key or a text. `code` is bounded and fit
for a metric's label; `retriable` says whether the same may work later.
"""

from typing import ClassVar


class CorpusError(Exception):
    code: ClassVar[str] = "corpus"
    retriable: ClassVar[bool] = False


class UsageError(CorpusError):
    code = "usage"


class FeedError(CorpusError):
    code = "feed"
    retriable = True


class FeedRefused(FeedError):
    code = "feed_refused"
    retriable = False


class PositionLost(FeedError):
    code = "position_lost"
    retriable = False


class BadEvent(FeedError):
    code = "bad_event"
    retriable = False


class DumpError(CorpusError):
    code = "dump"


class WikiError(CorpusError):
    code = "wiki"
    retriable = True


class StateError(CorpusError):
    code = "state"


class StateBusy(StateError):
    code = "state_busy"
    retriable = True


class SinkError(CorpusError):
    code = "sink"


class NotThere(CorpusError):
    code = "not_there"
