"""How many events a second one core turns from SSE bytes into typed changes, and into records.

    python tests/bench/bench_ingest.py [RECORDING.sse] [--json FILE]

Without a recording an invented mix of the same shape is used (two thirds edits, one third categorize).
No times are asserted: machines differ.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from streamer.admission import Rules, owners_of
from streamer.source.changes import interpret
from streamer.source.records import record_of
from streamer.sse import Decoder, Frame

STREAMS = ("recentchange",)
CHUNK_BYTES = 65_536
REPEAT_S = 2.0


def invented() -> bytes:
    frames = [b":ok\n\n"]
    for n in range(2_000):
        kind = "categorize" if n % 3 == 2 else "edit"
        event = {
            "$schema": "/mediawiki/recentchange/1.0.0",
            "meta": {
                "uri": "https://ko.example.org/wiki/%EC%A0%9C%EB%AA%A9",
                "request_id": f"6414406d-a831-46ee-8d99-{n:012}",
                "id": f"59d43ae0-e4e9-4197-990d-{n:012}",
                "dt": "2026-01-01T13:20:17.123Z",
                "domain": "ko.example.org",
                "stream": "mediawiki.recentchange",
                "topic": "codfw.mediawiki.recentchange",
                "partition": 0,
                "offset": 441362975 + n,
            },
            "id": 56921597 + n,
            "type": kind,
            "namespace": 0,
            "title": f"제목 {n}",
            "comment": "/* 1차전 */ " * 8,
            "timestamp": 1767273617,
            "user": "192.0.2.8",
            "bot": False,
            "minor": False,
            "length": {"old": 8159, "new": 8179},
            "revision": {"old": 30137382 + n, "new": 30137384 + n},
            "server_url": "https://ko.example.org",
            "server_name": "ko.example.org",
            "server_script_path": "/w",
            "wiki": "kowiki",
            "parsedcomment": '<span dir="auto">1차전</span>' * 10,
        }
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        identifier = '[{"topic":"codfw.mediawiki.recentchange","partition":0,"timestamp":1767273617124}]'
        frames.append(f"event: message\nid: {identifier}\ndata: {text}\n\n".encode())
    return b"".join(frames)


def measured(stream: bytes, work: Callable[[bytes], object]) -> float:
    """Events a second, the best of the rounds that fit into the time."""
    best = 0.0
    until = time.perf_counter() + REPEAT_S
    while time.perf_counter() < until:
        decoder = Decoder(max_event_bytes=1 << 24)
        count = 0
        began = time.process_time()
        for at in range(0, len(stream), CHUNK_BYTES):
            for frame in decoder.feed(stream[at : at + CHUNK_BYTES]):
                assert isinstance(frame, Frame)
                work(frame.data)
                count += 1
        best = max(best, count / (time.process_time() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path, nargs="?")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    stream = arguments.recording.read_bytes() if arguments.recording else invented()
    rules = Rules(owners_of(STREAMS))

    def to_records(data: bytes) -> None:
        told = interpret(data, rules)
        for record in told.records:
            record_of(record, told, 0, "wiki.changes.v1", 10)

    results = {
        "frames": measured(stream, lambda _data: None),
        "typed changes": measured(stream, lambda data: interpret(data, rules)),
        "records": measured(stream, to_records),
    }
    for name, rate in results.items():
        print(f"SSE bytes to {name:14} {rate:10,.0f} events/s  {1e6 / rate:6.2f} us each")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
