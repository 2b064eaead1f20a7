"""`/sandbox/…`: what tests and people steer the sandbox with. JSON in, JSON out."""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from streamer.sandbox.faults import Fault, FaultBox
from streamer.sandbox.pages import (
    HIDDEN_COMMENT,
    HIDDEN_TEXT,
    HIDDEN_USER,
    SUPPRESSED,
    Deed,
    Page,
    Revision,
    WikiError,
)
from streamer.sandbox.stream import Bell
from streamer.sandbox.wiki import Wiki
from streamer.sandbox.world import World

BITS = {"text": HIDDEN_TEXT, "comment": HIDDEN_COMMENT, "user": HIDDEN_USER}
Json = dict[str, object]


class Edit(Struct, frozen=True, forbid_unknown_fields=True):
    """`title` names the page, `to` where it moves; `revision` 0 is the newest; `hide` [] shows all again."""

    wiki: str
    title: Annotated[str, Meta(min_length=1)]
    action: Literal[
        "create", "edit", "rollback", "move", "delete", "restore", "hide", "suppress", "protect"
    ] = "edit"
    text: str | None = None
    comment: str = "by hand"
    to: str = ""
    redirect: bool = True
    revision: int = 0
    hide: tuple[Literal["text", "comment", "user"], ...] = ("text", "comment", "user")
    user: str = ""
    """One of the wiki's users; else its administrator."""
    told: bool = True
    """False: it happens, and no stream says so."""


class Cut(Struct, frozen=True, forbid_unknown_fields=True):
    abort: bool = False


class Silence(Struct, frozen=True, forbid_unknown_fields=True):
    seconds: Annotated[float, Meta(gt=0, le=3_600)]


class Admin:
    """`world` is None where a recording answers: then there is nothing to edit."""

    def __init__(
        self,
        world: World | None,
        faults: FaultBox,
        bell: Bell,
        *,
        now_ms: Callable[[], int],
        happened: Callable[[], None],
        state: Callable[[], Json],
    ) -> None:
        self._world = world
        self._faults = faults
        self._bell = bell
        self._now_ms = now_ms
        self._happened = happened
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/sandbox/state", self._get_state),
            web.get("/sandbox/faults", self._get_faults),
            web.post("/sandbox/faults", self._post_faults),
            web.delete("/sandbox/faults", self._delete_faults),
            web.post("/sandbox/edit", self._post_edit),
            web.post("/sandbox/cut", self._post_cut),
            web.post("/sandbox/silence", self._post_silence),
        ]

    async def _get_state(self, _: web.Request) -> web.Response:
        return web.json_response(self._state())

    async def _get_faults(self, _: web.Request) -> web.Response:
        return web.json_response(self._faults.in_force())

    async def _post_faults(self, request: web.Request) -> web.Response:
        """One fault or a list of them."""
        try:
            found = msgspec.json.decode(await request.read(), type=Fault | list[Fault])
        except msgspec.DecodeError as error:
            return _wrong(str(error))
        for fault in found if isinstance(found, list) else [found]:
            self._faults.add(fault)
        return web.json_response(self._faults.in_force())

    async def _delete_faults(self, _: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response([])

    async def _post_cut(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            cut = msgspec.json.decode(body, type=Cut) if body else Cut()
        except msgspec.DecodeError as error:
            return _wrong(str(error))
        self._bell.cut(abort=cut.abort)
        return web.json_response({"cuts": self._bell.cuts})

    async def _post_silence(self, request: web.Request) -> web.Response:
        """The streams of now stay open and say nothing for so long."""
        try:
            silence = msgspec.json.decode(await request.read(), type=Silence)
        except msgspec.DecodeError as error:
            return _wrong(str(error))
        self._bell.silence(silence.seconds)
        return web.json_response({"silences": self._bell.silences})

    async def _post_edit(self, request: web.Request) -> web.Response:
        if self._world is None:
            return _wrong("a recording can't be edited")
        try:
            edit = msgspec.json.decode(await request.read(), type=Edit)
        except msgspec.DecodeError as error:
            return _wrong(str(error))
        wiki = self._world.wikis.get(edit.wiki)
        if wiki is None:
            return _wrong(f"no wiki {edit.wiki!r}; there are {', '.join(self._world.wikis)}")
        try:
            with self._world.silent(not edit.told):
                page = self._do(self._world, wiki, edit)
        except WikiError as error:
            return _wrong(str(error), status=409)
        self._happened()
        return web.json_response(_told(page))

    def _do(self, world: World, wiki: Wiki, edit: Edit) -> Page:
        title = wiki.normalised(edit.title)
        users = world.users[wiki.site.wiki]
        user = next((one for one in users if one.name == edit.user), users[0])
        deed = Deed(user, edit.comment, self._now_ms())
        if edit.action == "create" or (edit.action == "edit" and wiki.titled(title) is None):
            text = world.authors[wiki.site.wiki].article(title) if edit.text is None else edit.text
            return world.create(wiki, title, text, deed)
        if edit.action == "restore":
            gone = next((page for page in reversed(wiki.deleted.values()) if page.title == title), None)
            if gone is None:
                raise WikiError(f"no deleted page {title!r}")
            world.restore(wiki, gone, deed)
            return gone
        page = wiki.titled(title)
        if page is None:
            raise WikiError(f"no page {title!r}")
        match edit.action:
            case "edit":
                text = (
                    world.authors[wiki.site.wiki].revised(page.current.text)
                    if edit.text is None
                    else edit.text
                )
                world.edit(wiki, page, text, deed)
            case "rollback":
                world.roll_back(wiki, page, user, deed.time_ms)
            case "move":
                world.move(wiki, page, wiki.normalised(edit.to), deed, redirect=edit.redirect)
            case "delete":
                world.delete(wiki, page, deed)
            case "protect":
                world.protect(wiki, page, deed)
            case _:
                bits = sum(BITS[what] for what in set(edit.hide))
                bits |= SUPPRESSED if edit.action == "suppress" and bits else 0
                world.set_visibility(wiki, page, _revision(page, edit.revision), bits, deed)
        return page


def _revision(page: Page, number: int) -> Revision:
    found = (
        next((one for one in page.revisions if number in (0, one.identifier)), None)
        if number
        else page.current
    )
    if found is None:
        raise WikiError(f"{page.title!r} has no revision {number}")
    return found


def _told(page: Page) -> Json:
    return {"page_id": page.identifier, "title": page.title, "revision": page.current.identifier}


def _wrong(message: str, *, status: int = 400) -> web.Response:
    return web.json_response({"message": message}, status=status)
