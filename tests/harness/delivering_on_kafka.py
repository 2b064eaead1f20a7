"""The role `deliver` over a real broker, in this process, with articles written by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.kafka import Brokers
from harness.delivering import Delivering, partners_toml, serving
from harness.on_kafka import OnKafka
from streamer.config import DeliverSettings, LogSettings, Settings
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime, article_spec, topic_specs


@asynccontextmanager
async def delivering_on_kafka(
    brokers: Brokers, folder: Path, *, deliver: DeliverSettings | None = None
) -> AsyncIterator[Delivering]:
    """Topics of its own, both partners' too; gone afterwards."""
    place = OnKafka(brokers)
    file = folder / "partners.toml"
    file.write_text(partners_toml())
    log_settings = LogSettings(
        "kafka", bootstrap=place.bootstrap, prefix=place.prefix, replication=place.replication
    )
    settings = Settings(log=log_settings, deliver=deliver or DeliverSettings(port=0))
    async with place.open() as log:
        runtime = Runtime(settings, log)
        specs = [
            *topic_specs(settings),
            *(article_spec(settings, runtime.topics.of_partner(name)) for name in ("acme", "globex")),
        ]
        await log.ensure_topics(specs)
        server = Delivering(runtime, log, PartnersWatch(file, poll_s=0.05), file)  # type: ignore[arg-type]
        async with serving(server):
            yield server
        for topic in await log.topics():
            if topic.name.startswith(place.prefix):
                await log.delete_topic(topic.name)
