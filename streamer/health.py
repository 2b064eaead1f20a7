"""Live and ready: what each role says of itself, and the admin routes that tell."""

import time
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streamer.metrics import COMPONENT_READY, REGISTRY

NO_TOPIC: Final = "its topic can't be seen, so that it has no lanes"
"""Of a role: whether another process runs them, it can't know."""
LOOP_STALL_S = 10.0
"""Not live when the loop has not beaten for so long."""


@dataclass(slots=True)
class Health:
    """Each component names itself once and then says whether it is ready, and if not, why.

    The reasons are shown to anyone on the admin port: words for operators, no keys, text or people.
    """

    _problems: dict[str, str] = field(default_factory=dict)
    _components: set[str] = field(default_factory=set)
    _standing_by: set[str] = field(default_factory=set)
    beaten_s: float = field(default_factory=time.monotonic)

    def expect(self, component: str) -> None:
        """Not ready until it says so."""
        self.unready(component, "starting")

    def ready(self, component: str) -> None:
        self.forget(component)
        self._components.add(component)
        COMPONENT_READY.labels(component).set(1)

    def standing_by(self, component: str) -> None:
        """Ready, and without work: another process has all of it, and this one takes it over."""
        self.ready(component)
        self._standing_by.add(component)

    def unready(self, component: str, reason: str) -> None:
        self.forget(component)
        self._components.add(component)
        self._problems[component] = reason
        COMPONENT_READY.labels(component).set(0)

    def forget(self, component: str) -> None:
        """As if it had never said anything: what it spoke of is no longer this process's."""
        if component in self._components:
            COMPONENT_READY.remove(component)
        self._components.discard(component)
        self._problems.pop(component, None)
        self._standing_by.discard(component)

    def problems(self) -> dict[str, str]:
        return dict(self._problems)

    def components(self) -> dict[str, str]:
        return {name: self._problems.get(name, self._well(name)) for name in sorted(self._components)}

    def _well(self, component: str) -> str:
        return "standing by" if component in self._standing_by else "ready"


def admin_app(health: Health) -> web.Application:
    """`/livez`, `/readyz`, `/metrics`. GET only; 503 with the reasons where not ready."""

    async def livez(_: web.Request) -> web.Response:
        alive = time.monotonic() - health.beaten_s < LOOP_STALL_S
        return web.json_response({"live": alive}, status=200 if alive else 503)

    async def readyz(_: web.Request) -> web.Response:
        ready = not health.problems()
        return web.json_response(
            {"ready": ready, "components": health.components()}, status=200 if ready else 503
        )

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
