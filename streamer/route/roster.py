"""Who is routed in this process: partners with compiled rules, and their topics."""

import logging
from collections.abc import Mapping
from typing import Final

from streamer.accounts import GROUP
from streamer.errors import ConfigError, TopicMissing
from streamer.metrics import COMMITTED, ROUTE_PARKED
from streamer.partners import Partners, PartnersWatch
from streamer.privacy import Policy, privacy_secret
from streamer.route.feed import Routing
from streamer.route.parking import RETRY_S, Parking
from streamer.runtime import Runtime, article_spec
from streamer.userspaces import UserSpaces

logger = logging.getLogger(__name__)


class Roster:
    def __init__(self, runtime: Runtime, watch: PartnersWatch, *, retry_s: float = RETRY_S) -> None:
        """Raises ConfigError where the secret of pseudonyms can't be read."""
        self._runtime = runtime
        self._watch = watch
        self.spaces: Final = UserSpaces()
        """Of all wikis, as the meta topic tells them."""
        self._secret = privacy_secret(runtime.settings.privacy)
        self.parking = Parking(runtime, self.ready_topic, retry_s=retry_s)
        self._partners: Partners = {}
        self._routings: dict[str, Routing] = {}
        self._established: set[str] = set()
        """Routed by this process: their topics are not made a second time."""
        self._told: set[str] = set()
        """Whose topics were made; of several lanes that found none one says so."""

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
                self.parking.forget(name)
                self._established.discard(name)
                self._told.discard(name)
                ROUTE_PARKED.remove(name)
                COMMITTED.forget(GROUP, name)
            for name, partner in partners.items():
                before = self._partners.get(name)
                if before is not None and before.editor != partner.editor:
                    logger.warning(
                        "another privacy policy from the next record on; what the topic holds already stays"
                        " as it is until `streamer partner rebuild`",
                        extra={"partner": name, "policy": partner.editor},
                    )
                if before != partner:
                    policy = Policy.of(partner.editor, name, self._secret, self.spaces)
                    self._routings[name] = Routing(partner, topics.of_partner(name), policy)
                if name not in self._partners:
                    ROUTE_PARKED.labels(name).set(0)
            self._partners = partners
        return self._routings

    async def ready_topic(self, routing: Routing, *, is_new: bool) -> None:
        """Makes the topic of a new partner. One that was written before and is gone is not made anew
        without a word: not at all where this process wrote it; else nobody can tell it from a new one,
        as its positions may have gone with it, and the log says what may have happened. Partitions that were
        added to it by hand stay empty, so that each page stays where it is. Raises ConfigError or LogError
        where the topic can't be used.
        """
        if is_new and routing.name not in self._established:
            is_made = await self._runtime.log.topic(routing.topic) is None
            await self._runtime.log.ensure_topics([article_spec(self._runtime.settings, routing.topic)])
            if is_made:
                await self._tell_made(routing.name)
            return
        info = await self._runtime.log.topic(routing.topic)
        partitions = self._runtime.settings.log.partitions
        if info is None:
            raise TopicMissing(
                f"there is no topic {routing.topic}, although it was written before;"
                f" `streamer partner rebuild {routing.name}` makes it anew",
                routing.topic,
            )
        if info.partitions < partitions:
            raise ConfigError(routing.topic, f"has {info.partitions} partitions, not {partitions}")

    async def _tell_made(self, name: str) -> None:
        bounds = await self._runtime.log.all_bounds(self._runtime.topics.articles)
        could_miss = any(end for _, end in bounds)
        if could_miss and name not in self._told:
            self._told.add(name)
            logger.warning(
                "partner's topic made, its feed begins; if it had one that was deleted,"
                " what it missed comes with `streamer partner rebuild`",
                extra={"partner": name},
            )

    def established(self, name: str) -> None:
        """It is routed, perhaps again."""
        self._established.add(name)
