"""`action=edit`: whoever has a token may write, as where anybody may edit. Nobody logs in here."""

from collections.abc import Callable
from typing import Final

from streamer.model import rfc3339
from streamer.sandbox.pages import INVALID_IN_TITLES, Deed, Readable, User, WikiError
from streamer.sandbox.params import ApiError, Params
from streamer.sandbox.query import TOKEN, Json
from streamer.sandbox.world import World

NOBODY: Final = User("192.0.2.77")


class Saving:
    """`world` is None where a recording answers: it stays as it was. `happened` once something was done."""

    def __init__(self, world: World | None, now_ms: Callable[[], int], happened: Callable[[], None]) -> None:
        self._world = world
        self._now_ms = now_ms
        self._happened = happened

    def save(self, wiki: Readable, params: Params) -> Json:
        """The body of the answer; raises ApiError."""
        if self._world is None:
            raise ApiError("readonly", "A recording can't be edited.")
        if params.get("token") != TOKEN:
            raise ApiError("badtoken", "Invalid CSRF token.")
        title, text = wiki.normalised(params.get("title")), params.get("text").rstrip()
        if not title or INVALID_IN_TITLES & set(title):
            raise ApiError("invalidtitle", "Bad title.")
        told: Json = {"result": "Success", "title": title, "contentmodel": "wikitext"}
        page, now_ms = wiki.titled(title), self._now_ms()
        its = self._world.wikis[wiki.site.wiki]
        deed = Deed(NOBODY, params.get("summary"), now_ms)
        if page is not None and page.current.text == text:
            return {"edit": {**told, "pageid": page.identifier, "nochange": True}}
        try:
            if page is None:
                page = self._world.create(its, title, text, deed)
                told["new"] = True
            else:
                told["oldrevid"] = page.current.identifier
                self._world.edit(its, page, text, deed)
        except WikiError as error:
            raise ApiError("protectedpage", str(error)) from None
        self._happened()
        told |= {"pageid": page.identifier, "newrevid": page.current.identifier}
        return {"edit": {**told, "newtimestamp": rfc3339(now_ms)}}
