"""Who is routed in this process: partners with compiled rules, their topics, and who is parked.

A partner whose topic is missing, refused or too small is parked: it alone waits, an alarm is raised
(`streamer_route_parked`, a log event), and it is tried again every few seconds, from where it stood.
"""

import logging
from collections.abc import Mapping
from typing import Final

from streamer.errors import ConfigError, LogError, TopicMissing
from streamer.metrics import ERRORS, ROUTE_PARKED
from streamer.partners import Partners, PartnersWatch
from streamer.route.feed import Routing
from streamer.route.starts import GROUP
from streamer.runtime import Runtime, article_spec

RETRY_S: Final = 5.0

logger = logging.getLogger(__name__)


class Roster:
    def __init__(self, runtime: Runtime, watch: PartnersWatch, *, retry_s: float = RETRY_S) -> None:
        self._runtime = runtime
        self._watch = watch
        self._retry_s = retry_s
        self._partners: Partners = {}
        self._routings: dict[str, Routing] = {}
        self._parked_s: dict[str, dict[int, float]] = {}
        """Since when, by partition: what one lane may write does not lift the alarm of another."""
        self._established: set[str] = set()
        """Routed by this process: their topics are not made a second time."""

    @property
    def generation(self) -> int:
        return self._watch.generation

    async def changed(self, generation: int) -> int:
        return await self._watch.changed(generation)

    def since_ms(self, name: str) -> int:
        return self._watch.since_ms(name)

    def routings(self) -> Mapping[str, Routing]:
        """Of the partners in force; compiled when a partner's table has changed."""
        partners = self._watch.current
        if partners is not self._partners:
            topics = self._runtime.topics
            for name in self._partners.keys() - partners.keys():
                del self._routings[name]
                self._parked_s.pop(name, None)
                self._established.discard(name)
                ROUTE_PARKED.remove(name)
            for name, partner in partners.items():
                if self._partners.get(name) != partner:
                    self._routings[name] = Routing(partner, topics.of_partner(name))
                if name not in self._partners:
                    ROUTE_PARKED.labels(name).set(0)
            self._partners = partners
        return self._routings

    async def ready_topic(self, routing: Routing, *, is_new: bool) -> None:
        """Makes the topic of a new partner. One that was written before and is gone is not made anew
        without a word. Raises ConfigError or LogError where the topic can't be used.
        """
        if is_new and routing.name not in self._established:
            await self._runtime.log.ensure_topics([article_spec(self._runtime.settings, routing.topic)])
            return
        info = await self._runtime.log.topic(routing.topic)
        partitions = self._runtime.settings.log.partitions
        if info is None:
            raise TopicMissing(f"there is no topic {routing.topic}, although it was written before")
        if info.partitions != partitions:
            raise ConfigError(routing.topic, f"has {info.partitions} partitions, not {partitions}")

    def park(self, routing: Routing, partition: int, error: ConfigError | LogError) -> None:
        is_known = routing.name in self._parked_s
        self._parked_s.setdefault(routing.name, {})[partition] = self._runtime.clock.monotonic_s()
        ROUTE_PARKED.labels(routing.name).set(1)
        ERRORS.labels(GROUP, error.code).inc()
        if is_known:
            return
        logger.error(
            "partner parked: its topic takes nothing; the others go on",
            extra={
                "partner": routing.name,
                "partition": partition,
                "code": error.code,
                "reason": str(error),
                "retry_s": self._retry_s,
            },
        )

    def established(self, name: str, partition: int) -> None:
        """It is routed in this lane, perhaps again."""
        self._established.add(name)
        parked_s = self._parked_s.get(name, {})
        if parked_s.pop(partition, None) is not None and not parked_s:
            del self._parked_s[name]
            ROUTE_PARKED.labels(name).set(0)
            logger.info("partner routed again", extra={"partner": name})

    def is_due(self, name: str, partition: int) -> bool:
        """Whether the lane, which is without this partner, should try to take it up."""
        parked_s = self._parked_s.get(name, {}).get(partition)
        return parked_s is None or self._runtime.clock.monotonic_s() - parked_s >= self._retry_s
