"""What deliver tells of a traced article: its first write to a live client, once a partner."""

from dataclasses import replace

from harness.fed import PARTNER, Fed

from streamer.deliver.encode import first_ages_s
from streamer.deliver.feed import Judge
from streamer.model import identifier_of_revision
from streamer.traceparent import traceparent_of
from streamer.tracing import Span, Tracing


def test_the_first_write_is_told_whoever_else_gets_it() -> None:
    """However many channels and clients there are; what is not traced is told by nothing."""
    spans: list[Span] = []
    fed = Fed()
    fed.feed.judge = Judge(PARTNER, fed.known, Tracing(1.0, spans.append))
    channels = [fed.channel("sse"), fed.channel("ndjson"), fed.channel("sse", fields=["name"])]
    made = fed.record(1)
    traceparent = traceparent_of(identifier_of_revision("enwiki", 1)).encode()
    traced = replace(made, headers=(*made.headers, ("traceparent", traceparent)))
    assert fed.publish(traced, fed.record(2)) == channels
    assert spans == []
    for channel in channels:
        list(first_ages_s(channel.fresh, 1))
    (span,) = spans
    assert (span.name, span.attributes["partner"], span.attributes["wiki"]) == ("deliver", PARTNER, "enwiki")
    assert span.attributes["size_bytes"] == len(traced.value or b"")
    assert f"{span.trace:032x}" == traceparent.decode()[3:35]
