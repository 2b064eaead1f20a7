"""Every error that has a name.

    StreamerError
    ├── ConfigError          a setting, a partners file or a command line is wrong      exit 2
    ├── FieldUnknown         a projection names a field that articles don't have
    ├── RoleMissing          a command waits for a role that no process runs
    ├── NotCompared          a wiki did not answer when it was to be reconciled
    ├── LogError
    │   ├── LogBusy          another process holds this role on this log                exit 2
    │   ├── LogTooNew        the file was written by a newer version                    exit 2
    │   ├── LogFull          the disk under the log is full                             retriable
    │   ├── LogUnavailable   the engine does not answer                                 retriable
    │   │   └── LogTimeout   not within our deadline                                    retriable
    │   ├── LaneLost         another worker has taken over this partition               restart the lane
    │   ├── OffsetOutOfRange the offset was deleted by retention, or never existed
    │   ├── InputLost        what a lane has yet to read is gone                        the lane stops
    │   └── TopicError       it is about some topics, which it names
    │       ├── TopicRefused     the cluster refuses what goes there (ACLs, size)       retriable
    │       ├── RecordTooLarge   the record is larger than the engine takes
    │       └── TopicMissing     there is no such topic
    ├── SourceError
    │   ├── FrameTooLarge    one event of the stream is larger than we hold
    │   ├── EventInvalid     an event that is no JSON, no change, of an unknown major version
    │   └── UpstreamRefused  the stream answered, and not with a stream                 retriable
    └── OriginError
        ├── HostNotAllowed   the change names a server that is not on the allow-list
        ├── OriginUnavailable  no answer: connection, deadline, 5xx, maxlag, rate limit retriable
        └── AnswerInvalid    an answer from which no article can be made

`code` is bounded (a metric label, the tail of a problem type); `retriable` says whether the same
thing may be tried again. A message says what, which one, and what to do about it; it never holds
keys, article text, comments or people.
"""

from typing import ClassVar


class StreamerError(Exception):
    code: ClassVar[str] = "internal"
    retriable: ClassVar[bool] = False


class ConfigError(StreamerError):
    """`where` is the path of the setting, e.g. `streamer.toml: source.rewind_s`."""

    code = "config"

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class PortInUse(ConfigError):
    code = "port_in_use"


class FieldUnknown(StreamerError):
    """`field` is as it was given; the message is the one that clients of Enterprise's API know."""

    code = "field_unknown"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


class RoleMissing(StreamerError):
    code = "role_missing"


class NotCompared(StreamerError):
    code = "not_compared"


class LogError(StreamerError):
    code = "log"


class LogBusy(LogError):
    code = "log_busy"


class LogTooNew(LogError):
    code = "log_too_new"


class LogFull(LogError):
    code = "log_full"
    retriable = True


class LogUnavailable(LogError):
    code = "log_unavailable"
    retriable = True


class LogTimeout(LogUnavailable):
    code = "log_timeout"


class TopicError(LogError):
    """`topics` are those that it is about, as far as the engine knows them."""

    def __init__(self, message: str, *topics: str) -> None:
        super().__init__(message)
        self.topics = topics


class TopicRefused(TopicError):
    """`batch_bytes` is the size, as stored, of the largest batch that a topic was too small for; 0 where
    sizes are not the reason. The operator can mend it while we try.
    """

    code = "topic_refused"
    retriable = True

    def __init__(self, message: str, *topics: str, batch_bytes: int = 0) -> None:
        super().__init__(message, *topics)
        self.batch_bytes = batch_bytes


class LaneLost(LogError):
    code = "lane_lost"


class OffsetOutOfRange(LogError):
    """The reader asked for `offset`; the log holds `earliest` up to but not including `end`."""

    code = "offset_out_of_range"

    def __init__(self, topic: str, partition: int, offset: int, earliest: int, end: int) -> None:
        super().__init__(f"{topic}/{partition}: offset {offset} is outside of {earliest}..{end}")
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.earliest = earliest
        self.end = end


class InputLost(LogError):
    """The message names topic, partition, the committed offset and the earliest (streamer.lost)."""

    code = "input_lost"


class RecordTooLarge(TopicError):
    code = "record_too_large"


class TopicMissing(TopicError):
    code = "topic_missing"


class SourceError(StreamerError):
    code = "source"


class FrameTooLarge(SourceError):
    code = "frame_too_large"


class EventInvalid(SourceError):
    """`reason` is one of a few words, for the metric."""

    code = "event_invalid"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UpstreamRefused(SourceError):
    code = "upstream_refused"
    retriable = True

    def __init__(self, message: str, *, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def is_lasting(self) -> bool:
        """Nothing gets better by asking again soon."""
        return self.status < 500 and self.status != 429


class OriginError(StreamerError):
    code = "origin"


class HostNotAllowed(OriginError):
    code = "host_not_allowed"


class OriginUnavailable(OriginError):
    """`code` of the instance is what the metric counts: timeout, connect, status_503, maxlag …"""

    code = "origin_unavailable"
    retriable = True

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class AnswerInvalid(OriginError):
    """The wiki answered, and no article can be made of it; `reason` is one of a few words."""

    code = "answer_invalid"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
