"""A page of the canary's own, edited through MediaWiki's action API as any editor does it.

With a bot password it logs in; without one it is nobody in particular, as far as the wiki allows that. A
session that has ended is begun anew once. A password that was refused is not tried again for a while: a wiki
shuts out who keeps guessing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from msgspec import Struct

from streamer.clock import Clock
from streamer.errors import ConfigError
from streamer.logs import describe

TIMEOUT_S: Final = 30.0
REFUSED: Final = "the login was refused"
SUMMARY: Final = "a canary: how long does this edit take?"
REFUSED_S: Final = 600.0
"""Another password is tried at once."""
SESSION_OVER: Final = ("badtoken", "assertuserfailed", "assertnameduserfailed")


class WikiFailed(Exception):
    """`reason` is of a few words: the wiki's own, or how it could not be reached."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Bot:
    """`name` as Special:BotPasswords gives it: `Account@canary`."""

    name: str
    password: str = field(repr=False)


class _Error(Struct, frozen=True):
    code: str


class _Tokens(Struct, frozen=True):
    csrf: str = msgspec.field(name="csrftoken", default="")
    login: str = msgspec.field(name="logintoken", default="")


class _Query(Struct, frozen=True):
    tokens: _Tokens = _Tokens()


class _Result(Struct, frozen=True):
    result: str
    title: str = ""
    revision: int = msgspec.field(name="newrevid", default=0)


class _Answer(Struct, frozen=True):
    error: _Error | None = None
    query: _Query = _Query()
    login: _Result | None = None
    edit: _Result | None = None


_answers: Final = msgspec.json.Decoder(_Answer)


class Wiki:
    """`server`: the wiki's name, sent as Host, where `api` serves many of them; else ""."""

    def __init__(
        self,
        api: str,
        *,
        server: str,
        page: str,
        user_agent: str,
        bot: Callable[[], Bot | None],
        clock: Clock | None = None,
    ) -> None:
        self._api = api
        self._page = page
        self._bot = bot
        self._headers = {"User-Agent": user_agent, **({"Host": server} if server else {})}
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._is_bot = False
        self._clock = clock or Clock()
        self._refused: Bot | None = None
        self._refused_until_s = 0.0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            headers=self._headers,
            cookie_jar=aiohttp.CookieJar(unsafe=True),  # one host only is asked, which may be an address
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def begin(self) -> None:
        """A session, where there is none: it takes its time, and is no part of an edit. Raises WikiFailed."""
        if not self._token:
            await self._begin()

    async def save(self, text: str) -> int:
        """The page's whole new text; the id of its revision. Raises WikiFailed."""
        try:
            return await self._save(text)
        except WikiFailed as error:
            self._token = ""
            if error.reason not in SESSION_OVER:
                raise
        return await self._save(text)

    async def _save(self, text: str) -> int:
        await self.begin()
        form = {"action": "edit", "title": self._page, "text": text, "summary": SUMMARY, "token": self._token}
        if self._is_bot:
            form["assert"] = "user"
        edit = (await self._ask(form)).edit
        if edit is None or edit.result != "Success":
            raise WikiFailed("the edit was refused")
        if edit.title != self._page:
            raise WikiFailed("the wiki spells the page's title otherwise")
        if not edit.revision:
            raise WikiFailed("the edit changed nothing")
        return edit.revision

    async def _begin(self) -> None:
        try:
            bot = self._bot()
        except ConfigError:
            raise WikiFailed("the bot password can't be read") from None
        self._is_bot = bot is not None
        if bot is not None:
            if bot == self._refused and self._clock.monotonic_s() < self._refused_until_s:
                raise WikiFailed(REFUSED)
            token = (await self._ask({"action": "query", "meta": "tokens", "type": "login"})).query.tokens
            form = {"action": "login", "lgname": bot.name, "lgpassword": bot.password, "lgtoken": token.login}
            login = (await self._ask(form)).login
            if login is None or login.result != "Success":
                self._refused, self._refused_until_s = bot, self._clock.monotonic_s() + REFUSED_S
                raise WikiFailed(REFUSED)
        self._token = (await self._ask({"action": "query", "meta": "tokens"})).query.tokens.csrf

    async def _ask(self, form: Mapping[str, str]) -> _Answer:
        assert self._session is not None
        data = {"format": "json", "formatversion": "2", **form}
        try:
            async with self._session.post(self._api, data=data, allow_redirects=False) as response:
                if response.status != 200:
                    raise WikiFailed(f"status_{response.status}")
                answer = _answers.decode(await response.read())
        except TimeoutError:
            raise WikiFailed("no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise WikiFailed(describe(error)) from None
        except msgspec.DecodeError:
            raise WikiFailed("no answer of a wiki") from None
        if answer.error is not None:
            raise WikiFailed(answer.error.code[:60])
        return answer
