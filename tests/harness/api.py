"""A wiki's action API that answers as a test says, one answer after the other."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import msgspec

Params = dict[str, str]
Answer = tuple[int, Mapping[str, str], Any]
"""Status, headers, and what becomes JSON (bytes stay as they are)."""


class Api:
    """`asked` are the parameters of each request, `headers` what came with it."""

    def __init__(self, answer: Callable[[Params], Answer]) -> None:
        self.answer = answer
        self.asked: list[Params] = []
        self.headers: list[dict[str, str]] = []
        self.endpoint = ""

    def answered(self, params: Params, headers: dict[str, str]) -> Answer:
        self.asked.append(params)
        self.headers.append(headers)
        return self.answer(params)


@contextmanager
def serving(answer: Callable[[Params], Answer]) -> Iterator[Api]:
    api = Api(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the library's name
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, headers, told = api.answered(dict(parse_qsl(body)), dict(self.headers))
            data = told if isinstance(told, bytes) else msgspec.json.encode(told)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
