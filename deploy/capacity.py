"""What the service carries, and what a partner costs: arithmetic on measured figures, for deploy/CAPACITY.md.

    python -m deploy.capacity        prints the tables that stand in CAPACITY.md; a test compares them

Each measured figure says where it was measured. What nobody has measured is an assumption, and says so.
Change them here, print, and put the tables in their place.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

DAY_S: Final = 86_400
MONTH_S: Final = 30 * DAY_S
US: Final = 1e-6

# ── measured ───────────────────────────────────────────────────────────────────────────────────


class Measured(NamedTuple):
    value: float
    unit: str
    what: str
    told: str
    """As README says it, under "Measured", word for word; or where else it comes from."""
    in_readme: bool = True


ALL_ROLES_MS: Final = Measured(
    3.4, "ms", "CPU of a change through all roles, 17 kB, local log", "234/s (3.4 ms)"
)
ALL_ROLES_KAFKA_MS: Final = Measured(5.5, "ms", "the same on Kafka", "130/s (5.5 ms)")
ROUTE_CORE: Final = Measured(
    0.86,
    "cores",
    "route of 100 partners, 50 edits/s, 17 kB, with the append",
    "26 % of a core; the append 60 %",
)
DELIVER_CORE: Final = Measured(0.86, "cores", "deliver of the same, 5 clients each", "86 % of a core, of it")
DELIVERY_US: Final = Measured(4.87, "µs", "CPU of a delivery of 20 kB, 200 clients", "4.87, 11.9, 11.2 µs")
IDLE_BYTES: Final = Measured(333, "B", "an idle connection", "333 bytes (307 to 338)")
GZIP: Final = Measured(2.7, "times", "text compresses", "2.2 to 2.8 times")
STORED_BYTES: Final = Measured(
    4_600, "B", "a 17 kB article in zstd", "measured apart: level 1, one article", in_readme=False
)
ARTICLE_BYTES: Final = Measured(
    17_500,
    "B",
    "mean size of an edited page, 1,269 edits of 73 wikis",
    "a recording of 66 s of 2021; median 5 kB",
    in_readme=False,
)
PROCESS_MB: Final = Measured(
    57, "MB", "memory of a process, 20 edits/s of the sandbox", "/proc, on a busy machine", in_readme=False
)
TEXT_MB: Final = Measured(
    23, "MB", "its two workers that make text", "/proc, on a busy machine", in_readme=False
)
MEASURED: Final = (
    ALL_ROLES_MS,
    ALL_ROLES_KAFKA_MS,
    ROUTE_CORE,
    DELIVER_CORE,
    DELIVERY_US,
    IDLE_BYTES,
    GZIP,
    STORED_BYTES,
    ARTICLE_BYTES,
    PROCESS_MB,
    TEXT_MB,
)
BENCH_PARTNERS, BENCH_CLIENTS, BENCH_EDITS_S = 100, 5, 50
"""What ROUTE_CORE and DELIVER_CORE were measured with."""

# ── assumed ────────────────────────────────────────────────────────────────────────────────────

BUSY: Final = 0.6
"""So much of a core, a link or a disk is used; the rest is for bursts and for catching up."""
LINK_BYTES_S: Final = 125_000_000
"""One gigabit."""
BROKER_PARTITIONS: Final = 4_000
PARTITIONS, SHARED_TOPICS = 10, 7
HISTORY_HOURS: Final = 6
"""The default. Until then all records are kept, afterwards the newest of each page."""
DISTINCT: Final = 0.3
"""Of a month's edits, pages that are edited at all: nobody has measured it; 1 is the worst."""
RETENTION_DAYS: Final = 30
BUDGET_PER_MINUTE: Final = 200
BATCH: Final = 50


class Prices(NamedTuple):
    """EUR a month. Examples, nobody's offer: put your own."""

    core: float = 20.0
    memory_gb: float = 4.0
    disk_gb: float = 0.10
    egress_gb: float = 0.05


# ── derived ────────────────────────────────────────────────────────────────────────────────────

ROUTE_US: Final = ROUTE_CORE.value / (BENCH_PARTNERS * BENCH_EDITS_S) / US
"""CPU of route for an edit and a partner."""
FEED_US: Final = (
    DELIVER_CORE.value / (BENCH_PARTNERS * BENCH_EDITS_S) / US - BENCH_CLIENTS * DELIVERY_US.value
)
"""CPU of deliver for an edit and a distinct feed, without its clients."""


class Load(NamedTuple):
    """Partners that get all articles whole, each with one distinct feed: the worst. Filters divide it."""

    edits_s: float
    partners: int
    clients: int
    """Open streams of each partner."""
    kafka: bool = True
    replication: int = 3

    @property
    def enrich_cores(self) -> float:
        """Source, enrich, and route and deliver for one partner."""
        return self.edits_s * (ALL_ROLES_KAFKA_MS if self.kafka else ALL_ROLES_MS).value / 1_000

    @property
    def route_cores(self) -> float:
        return self.edits_s * self.partners * ROUTE_US * US

    @property
    def deliver_cores(self) -> float:
        return self.edits_s * self.partners * (FEED_US + self.clients * DELIVERY_US.value) * US

    @property
    def cores(self) -> float:
        return self.enrich_cores + self.route_cores + self.deliver_cores

    def egress_bytes_s(self, *, gzip: bool = True) -> float:
        """To clients."""
        plain = self.edits_s * ARTICLE_BYTES.value * self.partners * self.clients
        return plain / GZIP.value if gzip else plain

    @property
    def log_bytes_s(self) -> float:
        """Into the log: the articles, and each partner's; one copy."""
        return self.edits_s * STORED_BYTES.value * (1 + self.partners)

    @property
    def history_gb(self) -> float:
        """What `history_hours` takes, all copies: the least that a local log's `retention_gb` must be."""
        return self.log_bytes_s * HISTORY_HOURS * 3_600 * self._copies / 1e9

    @property
    def disk_gb(self) -> float:
        """In the steady state: the history whole, and of a month the newest of each page; all copies. A local
        log is bounded by its `retention_gb`, here the history alone.
        """
        if not self.kafka:
            return self.history_gb
        month = self.log_bytes_s * RETENTION_DAYS * DAY_S * DISTINCT * self._copies / 1e9
        return self.history_gb + month

    @property
    def _copies(self) -> int:
        return self.replication if self.kafka else 1


def partner_gb_a_day(edits_s: float, copies: int) -> float:
    """Written for one partner, before compaction."""
    return edits_s * STORED_BYTES.value * DAY_S * copies / 1e9


def caught_up_h(behind_h: float, edits_s: float, budget_per_minute: int = BUDGET_PER_MINUTE) -> float:
    """After a restore from nothing, with full batches. ValueError where it never is."""
    spare = budget_per_minute * BATCH / 60 - edits_s
    if spare <= 0:
        raise ValueError(f"{budget_per_minute} requests a minute don't carry {edits_s:g} edits/s")
    return behind_h * edits_s / spare


def cost(load: Load, prices: Prices) -> dict[str, float]:
    """EUR a month for each partner, by what it is for; the first row is shared by all of them."""
    shared = Load(load.edits_s, 0, 0, load.kafka, load.replication)
    memory_gb = 4 * (PROCESS_MB.value + TEXT_MB.value) / 1_000
    disk_gb = load.disk_gb - shared.disk_gb
    egress_gb = load.egress_bytes_s() * MONTH_S / 1e9
    partners = load.partners
    return {
        "shared: source, enrich, articles": (
            shared.enrich_cores / BUSY * prices.core
            + memory_gb * prices.memory_gb
            + shared.disk_gb / BUSY * prices.disk_gb
        )
        / partners,
        "route": load.route_cores / BUSY * prices.core / partners,
        "deliver": load.deliver_cores / BUSY * prices.core / partners,
        "disk of its topic": disk_gb / BUSY * prices.disk_gb / partners,
        "traffic, gzip": egress_gb * prices.egress_gb / partners,
    }


# ── tables ─────────────────────────────────────────────────────────────────────────────────────

SIZES: Final = {
    "one process": Load(20, 10, 2, kafka=False),
    "small fleet": Load(20, 50, 3),
    "large fleet": Load(50, 300, 5),
}
RATES: Final = (20, 50)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Two digits: no figure here is better than that."""
    if value >= 100:
        digits = len(str(int(value))) - 2
        return f"{round(value, -digits):,.0f}"
    return f"{value:.2g}"


def inputs() -> str:
    return table(
        ("measured", "figure", "where"),
        [
            (
                each.what,
                f"{each.value:,g} {each.unit}",
                f"README: “{each.told}”" if each.in_readme else each.told,
            )
            for each in MEASURED
        ],
    )


def carries() -> str:
    """A row is a question, its answer at each of RATES."""
    link = BUSY * LINK_BYTES_S
    asked: dict[str, Callable[[float], float]] = {
        "a core: edits/s through all roles for one partner, local log": lambda _: (
            BUSY / ALL_ROLES_MS.value * 1_000
        ),
        "the same on Kafka": lambda _: BUSY / ALL_ROLES_KAFKA_MS.value * 1_000,
        "a core of route: partners with everything": lambda rate: BUSY / (rate * ROUTE_US * US),
        "a core of deliver: partners with everything, 2 clients each": lambda rate: (
            BUSY / (rate * (FEED_US + 2 * DELIVERY_US.value) * US)
        ),
        "a core of deliver: clients of one feed": lambda rate: (
            (BUSY / (rate * US) - FEED_US) / DELIVERY_US.value
        ),
        "a gigabit: clients with everything, plain": lambda rate: (
            link / Load(rate, 1, 1).egress_bytes_s(gzip=False)
        ),
        "the same, gzip": lambda rate: link / Load(rate, 1, 1).egress_bytes_s(),
        "three brokers, a gigabit each: partners with everything": lambda rate: (
            link / Load(rate, 0, 0).log_bytes_s - 1
        ),
        "the same by partitions (assumed: 4,000 a broker)": lambda _: (
            BUSY * BROKER_PARTITIONS / PARTITIONS - SHARED_TOPICS
        ),
        "a partner's topic, written a day, GB: one copy": lambda rate: partner_gb_a_day(rate, 1),
        "the same, three copies": lambda rate: partner_gb_a_day(rate, 3),
    }
    rows = [(name, *(number(ask(rate)) for rate in RATES)) for name, ask in asked.items()]
    return table(("at so many edits a second", *map(str, RATES)), rows)


def sizes() -> str:
    def row(what: str, values: Iterable[str]) -> tuple[str, ...]:
        return (what, *values)

    loads = list(SIZES.values())
    return table(
        ("", *SIZES),
        [
            row("edits/s; partners with everything; clients each", (
                f"{load.edits_s:g}; {load.partners}; {load.clients}" for load in loads
            )),
            row("log", ("Kafka, 3 copies" if load.kafka else "local" for load in loads)),
            row("cores of source and enrich", (number(load.enrich_cores / BUSY) for load in loads)),
            row("cores of route", (number(load.route_cores / BUSY) for load in loads)),
            row("cores of deliver", (number(load.deliver_cores / BUSY) for load in loads)),
            row("into the log, MB/s, one copy", (number(load.log_bytes_s / 1e6) for load in loads)),
            row("disk of `history_hours` (local: the least `retention_gb`), GB", (
                number(load.history_gb) for load in loads
            )),
            row("disk, on Kafka with 30 days of newest states, GB", (number(load.disk_gb) for load in loads)),
            row("to clients, Mbit/s, plain", (
                number(load.egress_bytes_s(gzip=False) * 8 / 1e6) for load in loads
            )),
            row("the same, gzip", (number(load.egress_bytes_s() * 8 / 1e6) for load in loads)),
        ],
    )  # fmt: skip


def costs() -> str:
    prices = Prices()
    found = {name: cost(load, prices) for name, load in SIZES.items()}
    parts = list(next(iter(found.values())))
    rows = [(part, *(f"{each[part]:.2f}" for each in found.values())) for part in parts]
    rows.append(("**together**", *(f"**{sum(each.values()):.2f}**" for each in found.values())))
    return table(("EUR a month and partner", *found), rows)


def catching_up() -> str:
    rows = []
    for hours, words in ((1, "an hour"), (24, "a day"), (168, "7 days")):
        rows.append((words, *(number(caught_up_h(hours, rate)) for rate in RATES)))
    return table(("hours to catch up with, at so many edits a second", *map(str, RATES)), rows)


TABLES: Final = {
    "inputs": inputs,
    "carries": carries,
    "sizes": sizes,
    "costs": costs,
    "catching up": catching_up,
}


def main() -> None:
    sys.stdout.write("".join(f"<!-- {name} -->\n{made()}\n\n" for name, made in TABLES.items()))


if __name__ == "__main__":
    main()
