"""Who edits a wiki: by its own action API, logged in with a password, or from an address."""

import io
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec

from harness.mediawiki.founding import PASSWORD, USERS, Site
from harness.mediawiki.php import Php, Reply

API: Final = "/w/api.php"
FORM: Final = "application/x-www-form-urlencoded"
ANONYMOUS_TOKEN: Final = "+\\"
BEHIND: Final = {"X-Proof-Editor": "1"}
"""Asks for the jobs to be run behind the answer."""

Answer = dict[str, Any]


class Refused(Exception):
    """The wiki said no; `code` is its word."""

    def __init__(self, code: str, info: str) -> None:
        super().__init__(f"{code}: {info}")
        self.code = code


class WikiBroken(AssertionError):
    """It answered with what no wiki may answer with: a defect of the fixture."""


class Wiki:
    """One wiki of the farm, as its editors and its administrator (who may read the database) see it."""

    def __init__(self, site: Site, folder: Path, php: Php) -> None:
        self.site = site
        self.name = site.name
        self.server_name = site.server_name
        self.language = site.language
        self.licence = site.licence
        self.licence_url = site.licence_url
        self.folder = folder
        self._php = php
        self._sessions: dict[str, _Session] = {}

    async def read(self, **params: object) -> Answer:
        """As a reader without any rights."""
        return await self._call({}, params, {}, method="GET")

    async def act(self, who: str, action: str, *, token: str = "csrf", **params: object) -> Answer:
        """`who` is one of the accounts, or an address. Raises Refused."""
        session = await self._session(who)
        if session.tokens is None:
            await self._fetch_tokens(session)
        assert session.tokens
        secret = session.tokens[f"{token}token"]
        return await self._call(
            session.headers, {"action": action, **params, "token": secret}, session.cookies
        )

    async def ask(
        self,
        path: str,
        params: Mapping[str, object] | None = None,
        *,
        who: str = "",
        post: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Whatever it answers; as `who`, or as a reader."""
        session = await self._session(who) if who else _Session("")
        sent = {**(headers or {}), **_cookies(session.cookies)}
        encoded = _encoded(params or {})
        if post:
            sent["Content-Type"] = FORM
            body = io.BytesIO(encoded.encode())
            return await self._php.ask(self.server_name, path, method="POST", headers=sent, data=body)
        return await self._php.ask(self.server_name, f"{path}?{encoded}" if encoded else path, headers=sent)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """From the database itself, as committed."""
        file = self.folder / self.name / f"{self.name}.sqlite"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()

    async def _session(self, who: str) -> "_Session":
        session = self._sessions.get(who)
        if session is None:
            session = _Session(who)
            if who in USERS:
                token = await self._call(
                    session.headers, {"action": "query", "meta": "tokens", "type": "login"}, session.cookies
                )
                answer = await self._call(
                    session.headers,
                    {
                        "action": "login",
                        "lgname": who,
                        "lgpassword": PASSWORD,
                        "lgtoken": token["query"]["tokens"]["logintoken"],
                    },
                    session.cookies,
                )
                if answer["login"]["result"] != "Success":
                    raise WikiBroken(f"{who} can't log in: {answer}")
            else:
                session.tokens = {"csrftoken": ANONYMOUS_TOKEN}
            self._sessions[who] = session
        return session

    async def _fetch_tokens(self, session: "_Session") -> None:
        answer = await self._call(
            session.headers,
            {"action": "query", "meta": "tokens", "type": "csrf|rollback"},
            session.cookies,
        )
        session.tokens = answer["query"]["tokens"]

    async def _call(
        self,
        headers: Mapping[str, str],
        params: Mapping[str, object],
        cookies: dict[str, str],
        *,
        method: str = "POST",
    ) -> Answer:
        given = {"format": "json", "formatversion": "2", **params}
        sent = {**headers, **_cookies(cookies)}
        if method == "GET":
            reply = await self._php.ask(self.server_name, f"{API}?{_encoded(given)}", headers=sent)
        else:
            form = _form(given)
            if not isinstance(form, aiohttp.FormData):
                sent["Content-Type"] = FORM
            reply = await self._php.ask(self.server_name, API, method=method, headers=sent, data=form)
        for line in reply.headers.getall("Set-Cookie", ()):
            cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        return _answer(reply)


class _Session:
    def __init__(self, who: str) -> None:
        self.cookies: dict[str, str] = {}
        self.tokens: dict[str, str] | None = None
        self.headers = dict(BEHIND) if who in USERS else BEHIND | {"X-Forwarded-For": who}


def _cookies(cookies: Mapping[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}


def _encoded(params: Mapping[str, object]) -> str:
    return urlencode({name: str(value) for name, value in params.items()})


def _form(params: Mapping[str, object]) -> aiohttp.FormData | io.BytesIO:
    """In parts where one of them is a file, which is a value of bytes."""
    if not any(isinstance(value, bytes) for value in params.values()):
        return io.BytesIO(_encoded(params).encode())
    form = aiohttp.FormData()
    for name, value in params.items():
        if isinstance(value, bytes):
            form.add_field(name, value, filename=name, content_type="application/octet-stream")
        else:
            form.add_field(name, str(value))
    return form


def _answer(reply: Reply) -> Answer:
    try:
        answer: Answer = msgspec.json.decode(reply.body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise WikiBroken(f"{reply.status}: {reply.body[:2_000]!r}") from None
    error = answer.get("error")
    if error:
        if str(error["code"]).startswith("internal_api_error"):
            raise WikiBroken(str(error)[:2_000])
        raise Refused(error["code"], error.get("info", ""))
    return answer
