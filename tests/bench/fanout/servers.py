"""Who is compared: each a process that was started for one repetition, and how it is spoken to."""

import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.fanout.articles import PARTITIONS
from tests.bench.fanout.ours import KEY
from tests.bench.fanout.process import START_S, Failed, started
from tests.harness.service import free_port

NCHAN_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
FILL_S: Final = 600.0
NGINX: Final = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin") or ""


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    pids: tuple[int, ...]
    port: int
    publish_port: int
    target: str = "/"
    post: str = ""
    """Where events are POSTed; "": they go to a raw port."""
    headers: tuple[str, ...] = ()
    lanes: int = 1
    """Order holds within each: event n is of lane n % lanes."""


Start = Callable[[Path, int], AbstractContextManager[Server]]
"""With a folder of its own and a core."""


@contextmanager
def ours(folder: Path, core: int) -> Iterator[Server]:
    """On a log in its memory."""
    command = [sys.executable, "-m", "tests.bench.fanout.ours", str(folder)]
    with started(command, folder, core=core) as child:
        ports = child.line()
        yield _ours(child.pid, ports["port"], ports["publish_port"])


@contextmanager
def publishing(folder: Path, core: int, *, fill: int = 0, size: int = 0) -> Iterator[tuple[Path, int]]:
    """An embedded log, and the port where a process appends to it; before, so many articles of `size`."""
    log = folder / "log.db"
    command = [sys.executable, "-m", "tests.bench.fanout.publisher", str(folder), str(log)]
    command += ["--fill", str(fill), "--size", str(size)] if fill else []
    with started(command, folder, core=core) as child:
        yield log, child.line(within_s=FILL_S)["publish_port"]


@contextmanager
def ours_following(folder: Path, core: int, log: Path, publish_port: int) -> Iterator[Server]:
    command = [sys.executable, "-m", "tests.bench.fanout.ours", str(folder), "--log", str(log)]
    with started(command, folder, core=core) as child:
        yield _ours(child.pid, child.line()["port"], publish_port)


def _ours(pid: int, port: int, publish_port: int) -> Server:
    key = (f"Authorization: Bearer {KEY}",)
    return Server("ours", (pid,), port, publish_port, "/v2/articles", headers=key, lanes=PARTITIONS)


@contextmanager
def naive(folder: Path, core: int) -> Iterator[Server]:
    command = [sys.executable, "-m", "tests.bench.fanout.naive"]
    with started(command, folder, core=core) as child:
        ports = child.line()
        yield Server("naive", (child.pid,), ports["port"], ports["publish_port"])


def nchan_missing() -> str:
    """Why Nchan can't be had here, and what to do; "": it can."""
    if NGINX and NCHAN_MODULE.exists():
        return ""
    return "no nginx with Nchan: apt-get install nginx libnginx-mod-nchan"


@contextmanager
def nchan(folder: Path, core: int) -> Iterator[Server]:
    """One worker, as a fan-out of one process; what it keeps is in memory."""
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(NCHAN_CONF.format(folder=folder, module=NCHAN_MODULE, port=port), encoding="utf-8")
    command = [NGINX, "-p", str(folder), "-c", str(conf), "-e", str(folder / "nginx.err")]
    with started(command, folder, core=core) as child:
        until_s = time.monotonic() + START_S
        while not (child.children and _answers(port)):
            if child.process.poll() is not None or time.monotonic() > until_s:
                raise Failed(f"nginx does not listen: {child.last_words()}")
            time.sleep(0.02)
        yield Server("Nchan", (child.pid, *child.children), port, port, "/sub", post="/pub")


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


NCHAN_CONF: Final = """\
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err warn;
events {{ worker_connections 15000; use epoll; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_body_buffer_size 128k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_shared_memory_size 512M;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location = /pub {{
      nchan_publisher;
      nchan_channel_id bench;
      nchan_message_buffer_length 200;
      nchan_message_timeout 60s;
    }}
    location = /sub {{
      nchan_subscriber eventsource;
      nchan_channel_id bench;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""
"""A buffer of 200 messages; keep-alive for all of a run's POSTs; nothing is logged."""
