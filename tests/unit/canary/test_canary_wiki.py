"""How the canary edits, on a wiki that answers what is put into its mouth."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from streamer.canary.wiki import Bot, Wiki, WikiFailed
from streamer.clock import Clock
from streamer.errors import ConfigError

TOKENS = {"query": {"tokens": {"csrftoken": "c+\\", "logintoken": "l+\\"}}}
SAVED = {"edit": {"result": "Success", "title": "Canary", "newrevid": 12}}
WELCOME = {"login": {"result": "Success"}}


def error(code: str) -> Mapping[str, object]:
    return {"error": {"code": code, "info": "…"}}


class Scripted:
    """Answers in this order, whatever is asked; an answer may be a status, or bytes."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.asked: list[Mapping[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        told = {name: str(value) for name, value in form.items()}
        self.asked.append({**told, "host": request.host, "cookie": request.headers.get("Cookie", "")})
        answer = self._answers.pop(0)
        if isinstance(answer, int):
            return web.Response(status=answer, headers={"Location": "http://127.0.0.1:1/"})
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        response = web.json_response(answer)
        response.set_cookie("session", f"s{len(self.asked)}")
        return response


@asynccontextmanager
async def wiki(
    scripted: Scripted,
    bot: Bot | None = None,
    *,
    bots: Iterator[Bot] | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Wiki]:
    app = web.Application()
    app.router.add_post("/w/api.php", scripted.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api = f"http://127.0.0.1:{runner.addresses[0][1]}/w/api.php"
        async with Wiki(
            api,
            server="en.x",
            page="Canary",
            user_agent="test",
            bot=lambda: bot if bots is None else next(bots),
            clock=clock,
        ) as asked:
            yield asked
    finally:
        await runner.cleanup()


async def test_it_logs_in_once_and_edits_with_the_token_of_its_session() -> None:
    """With the cookies it was given, also by an address, by the name that stands in Host, and asserting
    that it is somebody: else an edit would be an anonymous one once the session is over.
    """
    scripted = Scripted(TOKENS, WELCOME, TOKENS, SAVED, SAVED)
    async with wiki(scripted, Bot("A@b", "secret")) as asked:
        assert await asked.save("x") == 12
        assert await asked.save("y") == 12
    assert [form["action"] for form in scripted.asked] == ["query", "login", "query", "edit", "edit"]
    edit = scripted.asked[-1]
    assert (edit["text"], edit["token"], edit["assert"], edit["host"]) == ("y", "c+\\", "user", "en.x")
    assert "session=s4" in edit["cookie"]


@pytest.mark.parametrize("code", ["badtoken", "assertuserfailed"])
async def test_a_session_that_is_over_is_begun_anew_once(code: str) -> None:
    """And the edit is made; a second refusal is told."""
    scripted = Scripted(TOKENS, error(code), TOKENS, SAVED, error(code), TOKENS, error(code))
    async with wiki(scripted) as asked:
        assert await asked.save("x") == 12
        with pytest.raises(WikiFailed, match=code):
            await asked.save("y")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (503, "status_503"),
        (302, "status_302"),
        (b"<html>", "no answer of a wiki"),
        (b"\xff", "no answer of a wiki"),
        (error("protectedpage"), "protectedpage"),
        ({"edit": {"result": "Failure", "captcha": {}}}, "the edit was refused"),
        ({"edit": {"result": "Success", "title": "Canary", "nochange": True}}, "the edit changed nothing"),
        ({"edit": {"result": "Success", "title": "canary", "newrevid": 3}}, "the wiki spells"),
        ({}, "the edit was refused"),
    ],
)
async def test_what_comes_between_it_and_its_edit_is_said_in_a_few_words(answer: object, reason: str) -> None:
    """The wiki's own code where it gives one; no redirect is followed with a token."""
    async with wiki(Scripted(TOKENS, answer)) as asked:
        with pytest.raises(WikiFailed, match=reason):
            await asked.save("x")


async def test_a_password_that_was_refused_is_not_tried_each_minute() -> None:
    """For ten minutes the wiki is not asked, and the failure is told all the same; another password is tried
    at once.
    """
    now_s = 0.0
    wrong, right = Bot("A@b", "wrong"), Bot("A@b", "right")
    refused = {"login": {"result": "Failed"}}
    scripted = Scripted(TOKENS, refused, TOKENS, refused, TOKENS, WELCOME, TOKENS, SAVED)
    bots = iter([wrong, wrong, wrong, right])
    async with wiki(scripted, bots=bots, clock=Clock(monotonic_s=lambda: now_s)) as asked:
        for now_s, times in ((0.0, 2), (599.0, 2), (600.0, 4)):  # noqa: B007 - the clock
            with pytest.raises(WikiFailed, match="the login was refused"):
                await asked.save("x")
            assert len(scripted.asked) == times
        assert await asked.save("x") == 12


async def test_a_password_that_is_refused_or_cannot_be_read_is_a_failure_and_no_end() -> None:
    """While the file is being rewritten, say; neither is shown."""
    async with wiki(Scripted(TOKENS, {"login": {"result": "Failed"}}), Bot("A@b", "secret")) as asked:
        with pytest.raises(WikiFailed, match="the login was refused") as refused:
            await asked.save("x")
    assert "secret" not in str(refused.value)

    def unreadable() -> Bot:
        raise ConfigError("--bot-file", "…")

    async with Wiki("http://127.0.0.1:1", server="", page="C", user_agent="t", bot=unreadable) as asked:
        with pytest.raises(WikiFailed, match="can't be read"):
            await asked.save("x")
