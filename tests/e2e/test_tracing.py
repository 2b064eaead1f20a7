"""Four processes, one role each, and a collector: an edit's spans find each other."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from harness.collector import Collected, Collector, collecting
from harness.feed import Feed, Received
from harness.sandboxed import live_config
from harness.service import Service
from recording_setup import KEYS, until_routed_from_the_start, write_partners
from test_bad_input import write

from streamer.log.base import TopicPartition
from streamer.log.local import LocalLog
from streamer.model import Topics
from streamer.sandbox.server import Sandbox, SandboxOptions
from streamer.traceparent import sampled_from, traceparent_of

PARTNER = "everything"
TITLE = "Zt4Kanarienvogel"
TEXT = "Nobody but readers sees Zt4Kanarientext."
LOST = {
    "spans were left behind at the end",
    "the collector (tracing.endpoint) takes no spans, they are dropped",
}
ALLOWED = {"stage", "wiki", "kind", "outcome", "code", "by", "batch_size", "size_bytes", "partner"}


async def begin(folder: Path, stack: AsyncExitStack, text: str) -> dict[str, Service]:
    services: dict[str, Service] = {}
    for role in ("deliver", "route", "enrich", "source"):
        (folder / role).mkdir()
        environ = {
            "OTEL_SERVICE_NAME": f"streamer-{role}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=wikipedia",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        }
        service = Service(folder / role, text, "run", "--role", role, environ=environ)
        services[role] = await stack.enter_async_context(service)
    await until_routed_from_the_start(LocalLog(folder / "streamer.db", clean_every_s=3600))
    await services["source"].event("connected to the stream")
    return services


async def first(service: Service) -> Received:
    """The first article that a live client is given."""
    url = f"http://127.0.0.1:{await service.port()}/v2/articles"
    stream = Feed(url, KEYS[PARTNER]).events()
    async for event in stream:
        if event.name == "message":
            await stream.aclose()
            return event
    raise AssertionError("the stream ended")


async def delivered(services: dict[str, Service], sandbox: Sandbox) -> Received:
    """An edit, as a client of a stream that was open before it has it."""
    connected = f'streamer_deliver_connections{{format="sse",partner="{PARTNER}"}}'
    await services["deliver"].until(lambda told: told.get(connected, 0) == 0)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(first(services["deliver"]))
        await services["deliver"].until(lambda told: told.get(connected, 0) == 1)
        await write(sandbox, TITLE, TEXT)
    return reading.result()


async def header_in_partner_topic(folder: Path, identifier: str) -> str:
    topic = Topics().of_partner(PARTNER)
    async with LocalLog(folder / "streamer.db", clean_every_s=3600) as log:
        info = await log.topic(topic)
        assert info
        starts = {TopicPartition(topic, number): 0 for number in range(info.partitions)}
        async with log.reader(starts) as reader:
            while records := await reader.read(max_records=100):
                for record in records:
                    if record.header("ce_id") == identifier:
                        return record.header("traceparent")
    raise AssertionError(identifier)


def is_whole(spans: list[Collected]) -> bool:
    names = [span.name for span in spans]
    return {"source", "commit", "deliver"} <= set(names) and names.count("route") == len(KEYS)


def check_tree(spans: list[Collected], trace: str) -> None:
    by_name = {span.name: span for span in spans if span.attributes.get("partner", PARTNER) == PARTNER}
    assert {name: span.service for name, span in by_name.items()} == {
        "source": "streamer-source",
        "enrich": "streamer-enrich",
        "wait": "streamer-enrich",
        "origin": "streamer-enrich",
        "text": "streamer-enrich",
        "commit": "streamer-enrich",
        "route": "streamer-route",
        "deliver": "streamer-deliver",
    }
    above = {span.id: span.name for span in spans}
    assert {name: above.get(span.parent, "") for name, span in by_name.items()} == {
        "source": "",
        "enrich": "source",
        "wait": "enrich",
        "origin": "enrich",
        "text": "enrich",
        "commit": "enrich",
        "route": "enrich",
        "deliver": "route",
    }
    assert by_name["source"].id == trace[16:], "the span that traceparent names"
    routed = [span for span in spans if span.name == "route"]
    assert sorted(str(span.attributes["partner"]) for span in routed) == ["everything", "humans", "words"]
    assert len({span.id for span in spans}) == len(spans)
    assert all(span.start_ns <= span.end_ns for span in spans)
    assert not [span for span in spans if span.failed and span.name != "origin"]
    assert by_name["enrich"].attributes["outcome"] == "published"
    assert by_name["origin"].attributes["outcome"] == "ok"


def check_discretion(collector: Collector) -> None:
    said = b"\n".join(collector.raw)
    for secret in (TITLE, "Kanarientext", "127.0.0.1", *KEYS.values()):
        assert secret.encode() not in said, secret
    assert {name for span in collector.spans for name in span.attributes} <= ALLOWED
    assert all(headers["x-tenant"] == "wikipedia" for headers in collector.headers)


async def test_an_edits_spans_of_four_processes_are_one_trace(tmp_path: Path) -> None:
    """Each role sends its own to a collector by OTLP/HTTP, with the parents that they should have, under the
    trace that `event.identifier` and the header of the partner's record name; nothing in it is of the page.
    The SDK's own variables hold. A collector that has gone costs nobody an article or a clean end.
    """
    write_partners(tmp_path / "partners.toml")
    rules = (tmp_path / "partners.toml").read_text().replace("min_size = 1000", "")
    (tmp_path / "partners.toml").write_text(rules.replace('wikis = ["enwiki", "*wiktionary"]', ""))
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0.0)) as sandbox, AsyncExitStack() as stack:
        async with collecting() as collector:
            text = live_config(sandbox).replace('"streamer.db"', f'"{tmp_path / "streamer.db"}"')
            text += f'[partners]\nfile = "{tmp_path / "partners.toml"}"\n'
            text += f'[tracing]\nendpoint = "{collector.endpoint}"\nsample = 1.0\n'
            services = await begin(tmp_path, stack, text)
            article = (await delivered(services, sandbox)).article
            identifier = str(article["event"]["identifier"])  # type: ignore[index] - a JSON object
            trace = identifier.replace("-", "")
            await collector.until(lambda spans: is_whole([span for span in spans if span.trace == trace]))
            check_tree([span for span in collector.spans if span.trace == trace], trace)
            check_discretion(collector)
        header = await header_in_partner_topic(tmp_path, identifier)
        assert header == traceparent_of(identifier, sampled_from(1.0)) == f"00-{trace}-{trace[16:]}-01"
        again = await delivered(services, sandbox)
        assert again.article["name"] == TITLE
        for role, service in services.items():
            assert await service.terminate() == 0, (role, service.lines[-5:])
            unwanted = ("Traceback", "a library says")
            assert not [line for line in service.lines if any(word in line for word in unwanted)], role
        assert services["enrich"].told.keys() & LOST
