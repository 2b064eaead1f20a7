"""Every metric, declared once: base units, bounded labels, never a title, a user or an address.

`COMMITTED` exports the counts that stand in the committed positions, so that a restart neither loses
nor repeats any; everything else counts what this process did.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

REGISTRY: Final = CollectorRegistry()

FRESHNESS_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600)


class CommittedTotals(Collector):
    """`streamer_committed_changes_total{role, scope, outcome}`; `scope` is a partner's name, else "".

    What enrich admits is what the source admitted and, beyond it, replays of dead letters and repairs: role
    `replay`, outcome `admitted`. Role `deferred`, outcome `replayed` are those of them that replayed by
    themselves; role `reconcile` the repairs, by what the stream had lost.
    A partner's are those of its feed's present making: they start anew with `partner rebuild`.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], dict[str, int]] = {}

    def set(self, role: str, scope: str, partition: int, counts: Mapping[str, int]) -> None:
        """After each commit, and once at the start from the committed position."""
        self._counts[role, scope, partition] = dict(counts)

    def forget(self, role: str, scope: str) -> None:
        for key in [key for key in self._counts if key[:2] == (role, scope)]:
            del self._counts[key]

    def leave(self, role: str, partition: int) -> None:
        """Another process runs this lane now, and tells its counts: both would be one too many in a sum."""
        for key in [key for key in self._counts if (key[0], key[2]) == (role, partition)]:
            del self._counts[key]

    def totals(self, role: str, scope: str = "") -> dict[str, int]:
        totals: dict[str, int] = {}
        for (its_role, its_scope, _), counts in self._counts.items():
            if (its_role, its_scope) == (role, scope):
                for outcome, count in counts.items():
                    totals[outcome] = totals.get(outcome, 0) + count
        return totals

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "streamer_committed_changes",
            "Changes by outcome, as the committed positions hold them.",
            labels=["role", "scope", "outcome"],
        )
        for role, scope in sorted({key[:2] for key in self._counts}):
            for outcome, count in sorted(self.totals(role, scope).items()):
                family.add_metric([role, scope, outcome], count)
        yield family


COMMITTED: Final = CommittedTotals()
REGISTRY.register(COMMITTED)


class LaneLag(Collector):
    """`streamer_log_lag_offsets{group, partition}`: how many offsets of its input a lane has yet to finish.
    Told by the process that runs the lane; no sample while the ends are not known.

    Offsets have holes, so this is an upper bound of the records; at the end it is 0.
    """

    def __init__(self) -> None:
        self._next: dict[tuple[str, str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def at(self, group: str, topic: str, partition: int, following: int) -> None:
        """All before `following` is finished."""
        self._next[group, topic, partition] = following

    def leave(self, group: str, partition: int) -> None:
        for key in [key for key in self._next if (key[0], key[2]) == (group, partition)]:
            del self._next[key]

    def topics(self) -> set[str]:
        """Those whose ends it wants to know."""
        return {topic for _, topic, _ in self._next}

    def reach(self, topic: str, ends: Sequence[int]) -> None:
        """The ends of its partitions, as of now."""
        self._ends |= {(topic, partition): end for partition, end in enumerate(ends)}

    def unknown(self, topic: str) -> None:
        self._ends = {key: end for key, end in self._ends.items() if key[0] != topic}

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "streamer_log_lag_offsets",
            "Offsets between what a lane has finished and the end of its input, as of some seconds ago; of"
            " route up to the partner that is furthest ahead (streamer_route_behind_offsets has the rest).",
            labels=["group", "partition"],
        )
        for (group, topic, partition), following in sorted(self._next.items()):
            end = self._ends.get((topic, partition))
            if end is not None:
                family.add_metric([group, str(partition)], max(0, end - following))
        yield family


LAG: Final = LaneLag()
REGISTRY.register(LAG)

ERRORS: Final = Counter(
    "streamer_errors", "Errors by stage and code (streamer.errors).", ["stage", "code"], registry=REGISTRY
)
QUEUE_DEPTH: Final = Gauge("streamer_queue_depth", "Items in a bounded queue.", ["queue"], registry=REGISTRY)
LOOP_LAG: Final = Histogram(
    "streamer_event_loop_lag_seconds",
    "How late a timer fired.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
    registry=REGISTRY,
)
EDIT_TO_PUBLISH: Final = Histogram(
    "streamer_edit_to_publish_seconds",
    "From the edit to its commit in the articles topic.",
    buckets=FRESHNESS_BUCKETS_S,
    registry=REGISTRY,
)
EDIT_TO_DELIVERY: Final = Histogram(
    "streamer_edit_to_delivery_seconds",
    "From the edit to its first write to a live client of the partner.",
    ["partner"],
    buckets=FRESHNESS_BUCKETS_S,
    registry=REGISTRY,
)

CONFIG_RELOAD_FAILED: Final = Gauge(
    "streamer_config_reload_failed",
    "1 while streamer.toml is wrong and the settings before it stay in force.",
    registry=REGISTRY,
)
CONFIG_LOADED: Final = Gauge(
    "streamer_config_loaded_timestamp_seconds",
    "When streamer.toml was last read without a mistake.",
    registry=REGISTRY,
)
CONFIG_RESTART_NEEDED: Final = Gauge(
    "streamer_config_restart_needed_settings",
    "Settings that differ from those in force and wait for a restart.",
    registry=REGISTRY,
)

# ── source ─────────────────────────────────────────────────────────────────────────────────────

SOURCE_EVENTS: Final = Counter(
    "streamer_source_events", "Events read from upstream, canaries too.", ["family"], registry=REGISTRY
)
SOURCE_DROPPED: Final = Counter(
    "streamer_source_dropped",
    "Events (of `duplicate`: records) that became nothing, by reason.",
    ["reason"],
    registry=REGISTRY,
)
SOURCE_RECORDS: Final = Counter(
    "streamer_source_records", "Records appended: changes by kind, and hints.", ["kind"], registry=REGISTRY
)
SOURCE_CONNECTIONS: Final = Counter(
    "streamer_source_connections", "How connections to the stream ended.", ["outcome"], registry=REGISTRY
)
SOURCE_GAPS: Final = Counter(
    "streamer_source_gaps",
    "Resumes at which upstream no longer had what followed; reconcile repairs it.",
    registry=REGISTRY,
)
SOURCE_COMMIT_EVENTS: Final = Histogram(
    "streamer_source_commit_events",
    "Events per commit.",
    buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    registry=REGISTRY,
)
SOURCE_NEWEST: Final = Gauge(
    "streamer_source_newest_event_timestamp_seconds",
    "Upstream's time of the newest event that was committed.",
    registry=REGISTRY,
)
SOURCE_EXHAUSTED: Final = Gauge(
    "streamer_source_exhausted", "1 when the end of a recording has been reached.", registry=REGISTRY
)
SOURCE_HELD: Final = Gauge(
    "streamer_source_held",
    "1 while the source waits because the log is over its budget.",
    registry=REGISTRY,
)

# ── origin ─────────────────────────────────────────────────────────────────────────────────────

ORIGIN_REQUESTS: Final = Counter(
    "streamer_origin_requests",
    "Requests to the wikis by outcome: all of them, each counts against the budget.",
    ["outcome"],
    registry=REGISTRY,
)
ORIGIN_REQUEST_SECONDS: Final = Histogram(
    "streamer_origin_request_seconds",
    "From a request's start to its whole answer.",
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
    registry=REGISTRY,
)
ORIGIN_BATCH: Final = Histogram(
    "streamer_origin_batch_size",
    "Things asked for by one request, by how: revision, title, page, log, listing, lists, html.",
    ["by"],
    buckets=(1, 2, 5, 10, 20, 30, 40, 50, 100, 500),
    registry=REGISTRY,
)
ORIGIN_LISTS: Final = Counter(
    "streamer_origin_lists",
    "Page lists that were asked for, by what the article got: whole; or none, since the rest could not be had"
    " (failed), would have taken too many requests (too_many), was of a page that had changed (changed), or"
    " of an article that waited long enough, or beside too many (late); since the wiki knows no such list"
    " (unknown); or since the record would have been too large (too_large; such lists count as whole too).",
    ["outcome"],
    registry=REGISTRY,
)
ORIGIN_BUDGET_USED: Final = Gauge(
    "streamer_origin_budget_used_requests",
    "Requests that count in the current minute: the fleet's, told by the process that keeps its budget.",
    registry=REGISTRY,
)
ORIGIN_BUDGET: Final = Gauge(
    "streamer_origin_budget_requests",
    "Requests a minute that the fleet may make now, told by the process that keeps its budget; less than the"
    " settings say after wikis have refused some.",
    registry=REGISTRY,
)
ORIGIN_KEEPER: Final = Gauge(
    "streamer_origin_budget_keeper",
    "1 where this process keeps the budget of the fleet: of all its processes one, or none for some seconds.",
    registry=REGISTRY,
)
ORIGIN_PERMITS: Final = Counter(
    "streamer_origin_permits",
    "Permits of one request: granted (told by the keeper), unused and late (given back by who asked).",
    ["outcome"],
    registry=REGISTRY,
)
ORIGIN_PERMIT_SECONDS: Final = Histogram(
    "streamer_origin_permit_seconds",
    "From asking the keeper to its permit, waiting for the budget included.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
ORIGIN_BREAKERS_OPEN: Final = Gauge(
    "streamer_origin_failing_hosts", "Hosts that failed several times in a row.", registry=REGISTRY
)

# ── enrich ─────────────────────────────────────────────────────────────────────────────────────

ENRICH_OPEN: Final = Gauge(
    "streamer_enrich_open_changes",
    "Changes that enrich has read and not yet committed.",
    ["partition"],
    registry=REGISTRY,
)
ENRICH_HELD_BYTES: Final = Gauge(
    "streamer_enrich_held_bytes",
    "Content that was fetched and waits for its commit.",
    registry=REGISTRY,
)
ENRICH_PUBLISHED: Final = Counter(
    "streamer_enrich_published",
    "Records committed to the articles topic by this process.",
    ["kind", "type"],
    registry=REGISTRY,
)
ENRICH_LATE: Final = Counter(
    "streamer_enrich_late",
    "Edits published after a newer revision of their page.",
    registry=REGISTRY,
)
ENRICH_HINTED: Final = Counter(
    "streamer_enrich_hinted",
    "Creates and edits published, by whether what page_change tells of them was there in time.",
    ["hinted"],
    registry=REGISTRY,
)
ENRICH_SCORED: Final = Counter(
    "streamer_enrich_scored",
    "Edits of articles published, by whether they had a score (`version.scores`).",
    ["scored"],
    registry=REGISTRY,
)
HINT_WAIT: Final = Histogram(
    "streamer_enrich_hint_wait_seconds",
    "How long an answered change waited for its hint, of those that did.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5),
    registry=REGISTRY,
)
SCORES: Final = Counter(
    "streamer_scores",
    "Revisions whose revert risk was asked for (scores.url), by outcome: scored, unscored (it has none), or"
    " why there is no answer.",
    ["outcome"],
    registry=REGISTRY,
)
ENRICH_CUTOFFS: Final = Counter(
    "streamer_enrich_cutoffs", "Withdrawals written.", ["scope"], registry=REGISTRY
)
ENRICH_RETRIES: Final = Counter(
    "streamer_enrich_retries", "Questions asked again, by reason.", ["reason"], registry=REGISTRY
)
ENRICH_HTML: Final = Counter(
    "streamer_enrich_html",
    "Articles whose HTML was wanted, by outcome: fetched; over_share, paused or not_allowed, where"
    " nothing was asked; or how the request failed. Fetched, and too_large too: the record would have been.",
    ["outcome"],
    registry=REGISTRY,
)
DEFERRED_WAITING: Final = Gauge(
    "streamer_deferred_waiting_letters",
    "Dead letters that replay by themselves once their wikis answer.",
    ["partition"],
    registry=REGISTRY,
)
RECONCILED_UNTIL: Final = Gauge(
    "streamer_reconciled_until_timestamp_seconds",
    "Up to when a partition's wikis were compared with their own lists: of the one that is furthest behind.",
    ["partition"],
    registry=REGISTRY,
)
RECONCILE_LISTED: Final = Counter(
    "streamer_reconcile_listed_rows",
    "Edits and log entries that wikis listed, and that were compared.",
    registry=REGISTRY,
)
UNRESOLVED_REMOVALS: Final = Counter(
    "streamer_enrich_unresolved_removals",
    "Deletions and hidden revisions whose page could not be found out: a person has to look.",
    registry=REGISTRY,
)
TEXT_SECONDS: Final = Histogram(
    "streamer_enrich_text_seconds",
    "Plain text extraction, question to answer of a worker.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
TEXT_FAILURES: Final = Counter(
    "streamer_enrich_text_failures",
    "Articles published without text, by reason.",
    ["reason"],
    registry=REGISTRY,
)

# ── log ────────────────────────────────────────────────────────────────────────────────────────

LOG_COMMIT_SECONDS: Final = Histogram(
    "streamer_log_commit_seconds",
    "A commit: a transaction of the local log with the wait for its turn, or one on Kafka.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5, 10),
    registry=REGISTRY,
)
LOG_APPENDED_RECORDS: Final = Counter(
    "streamer_log_appended_records", "Records appended by this process.", registry=REGISTRY
)
LOG_APPENDED_BYTES: Final = Counter(
    "streamer_log_appended_bytes", "Their keys, headers and values as stored.", registry=REGISTRY
)
LOG_FILE_BYTES: Final = Gauge("streamer_log_file_bytes", "Size of the local log's file.", registry=REGISTRY)
LOG_WAL_BYTES: Final = Gauge("streamer_log_wal_bytes", "Size of its write-ahead log.", registry=REGISTRY)
LOG_OVER_BUDGET: Final = Gauge(
    "streamer_log_over_budget",
    "1 while the local log is over its bound and all it holds is still to be read.",
    registry=REGISTRY,
)
LOG_DELETED: Final = Counter(
    "streamer_log_deleted_records",
    "Records removed by the cleaner, by reason.",
    ["reason"],
    registry=REGISTRY,
)
LOG_COMMITS: Final = Counter(
    "streamer_log_commits",
    "Commits of lanes by outcome: committed, cancelled (it may have passed), or the code of the error that"
    " ended it (lane_lost, topic_refused, log_timeout, log_unavailable and so on).",
    ["group", "outcome"],
    registry=REGISTRY,
)
LOG_LANES: Final = Gauge(
    "streamer_log_lanes", "Lanes that this process runs; 0 where it stands by.", ["group"], registry=REGISTRY
)
LOG_REBALANCES: Final = Counter(
    "streamer_log_rebalances",
    "Times that a group on Kafka told this process which lanes are its own.",
    ["group"],
    registry=REGISTRY,
)
LOG_CLIENTS_REPLACED: Final = Counter(
    "streamer_log_clients_replaced",
    "Clients of Kafka given up and made anew after a failure: questions, reader, member, append. A lane's"
    " producer goes with each restart of its lane.",
    ["client"],
    registry=REGISTRY,
)
LOG_LANE_RESTARTS: Final = Counter(
    "streamer_log_lane_restarts", "Lanes started anew after an error.", ["group", "code"], registry=REGISTRY
)
LANE_STOPPED: Final = Gauge(
    "streamer_lane_stopped",
    "1 while a lane does nothing because its input is lost; /readyz says what and why.",
    ["role", "partition"],
    registry=REGISTRY,
)
LANE_LOST_OFFSETS: Final = Counter(
    "streamer_lane_lost_offsets",
    "Offsets that a lane left out, as the operator wished (log.lost), because they were deleted unread.",
    ["role", "partition"],
    registry=REGISTRY,
)

# ── route ──────────────────────────────────────────────────────────────────────────────────────

PARTNERS_FILE_INVALID: Final = Gauge(
    "streamer_partners_file_invalid",
    "1 while partners.toml is wrong and the rules before it stay in force.",
    registry=REGISTRY,
)
PARTNERS_RELOADS: Final = Counter(
    "streamer_partners_reloads", "Changes of partners.toml, by result.", ["result"], registry=REGISTRY
)
ROUTE_PARKED: Final = Gauge(
    "streamer_route_parked",
    "1 while a partner's topic takes nothing and its routing waits.",
    ["partner"],
    registry=REGISTRY,
)
ROUTE_BEHIND: Final = Gauge(
    "streamer_route_behind_offsets",
    "How far a partner is behind the partner that is furthest ahead in the same partition.",
    ["partner", "partition"],
    registry=REGISTRY,
)
ROUTE_SETTLING: Final = Gauge(
    "streamer_route_settling_records",
    "Records that are held for a partner until they have settled.",
    ["partner", "partition"],
    registry=REGISTRY,
)
ROUTE_HORIZON_AGE: Final = Gauge(
    "streamer_route_reverts_age_seconds",
    "How old the newest time is up to which all reverts are known: one lane of enrich that stands still"
    " holds up what settles on all partitions. 0 while nobody settles.",
    registry=REGISTRY,
)
ROUTE_PASS: Final = Histogram(
    "streamer_route_pass_seconds",
    "From what was read to its commit, for all partners of a pass.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
    registry=REGISTRY,
)

# ── deliver ────────────────────────────────────────────────────────────────────────────────────

DELIVER_CONNECTIONS: Final = Gauge(
    "streamer_deliver_connections", "Open streams.", ["partner", "format"], registry=REGISTRY
)
DELIVER_EVENTS: Final = Counter(
    "streamer_deliver_events",
    "Articles written to clients.",
    ["partner", "format"],
    registry=REGISTRY,
)
DELIVER_BYTES: Final = Counter(
    "streamer_deliver_bytes",
    "Bytes of streams that clients were sent, before HTTP framing.",
    ["partner"],
    registry=REGISTRY,
)
DELIVER_CHANNELS: Final = Gauge(
    "streamer_deliver_channels",
    "Distinct feeds: combinations of partner, filters, fields, parts, format and encoding that are followed.",
    registry=REGISTRY,
)
DELIVER_ENDED: Final = Counter(
    "streamer_deliver_ended_streams",
    "Streams that ended: client (it left), slow, stalled, drain, expired, failed, withdrawn (amid a frame).",
    ["partner", "reason"],
    registry=REGISTRY,
)
DELIVER_REFUSED: Final = Counter(
    "streamer_deliver_refused_requests", "Requests answered with a problem.", ["code"], registry=REGISTRY
)
DELIVER_WITHHELD: Final = Counter(
    "streamer_deliver_withheld_records",
    "Records that were not written because their text was withdrawn, or because they are broken.",
    ["partner", "reason"],
    registry=REGISTRY,
)
DELIVER_RETAINED_BYTES: Final = Gauge(
    "streamer_deliver_retained_bytes", "Frames kept for slow readers, all feeds.", registry=REGISTRY
)
DELIVER_CERTIFICATE_EXPIRY: Final = Gauge(
    "streamer_deliver_certificate_expiry_timestamp_seconds",
    "When the certificate in force expires (Unix time); 0 without TLS in this process.",
    registry=REGISTRY,
)
