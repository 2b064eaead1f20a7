"""The sandbox over loopback, as a client meets it: streams, API, faults, and how it is steered."""

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streamer.errors import ConfigError, PortInUse
from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

AGENT = {"User-Agent": "sandbox-test/1 (test@example.org)"}
EN = {"Host": "en.sandbox.example"}
DEADLINE_S = 30.0
QUIET = SandboxOptions(seed=1, edits_per_s=0, pages_per_wiki=5, canary_every_s=0)
ASK = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "prop": "revisions|info",
    "rvslots": "main",
    "rvprop": "ids|content|sha1|user|comment",
}


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(headers=AGENT, timeout=timeout) as session:
        yield session


async def api(client: aiohttp.ClientSession, sandbox: Sandbox, **params: str) -> Any:
    async with client.get(f"{sandbox.endpoint}/w/api.php", params={**ASK, **params}, headers=EN) as answer:
        assert answer.status == 200
        return await answer.json()


async def post(client: aiohttp.ClientSession, sandbox: Sandbox, path: str, body: Any) -> Any:
    async with client.post(f"{sandbox.endpoint}/sandbox/{path}", json=body) as answer:
        return await answer.json()


async def edit(client: aiohttp.ClientSession, sandbox: Sandbox, **what: Any) -> Any:
    return await post(client, sandbox, "edit", {"wiki": "ensandbox", **what})


async def frames(answer: aiohttp.ClientResponse, count: int) -> list[tuple[str, Any]]:
    """So many events with their ids; fewer where the stream ends."""
    found: list[tuple[str, Any]] = []
    identifier = ""
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("id: "):
            identifier = line[4:]
        elif line.startswith("data: "):
            found.append((identifier, json.loads(line[6:])))
            if len(found) == count:
                break
    return found


async def test_it_lives_by_itself_and_its_api_knows_what_it_tells(client: aiohttp.ClientSession) -> None:
    """Events arrive live, and the revision of an edit can be fetched at once from its wiki by Host."""
    options = SandboxOptions(seed=2, edits_per_s=50, pages_per_wiki=20, late_share=0)
    async with Sandbox(options) as sandbox, client.get(f"{sandbox.stream_url}/recentchange") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert (await answer.content.readline(), await answer.content.readline()) == (b":ok\n", b"\n")
        edits = [event for _, event in await frames(answer, 20) if event.get("type") in ("edit", "new")]
        for event in edits[:3]:
            headers = {"Host": event["server_name"]}
            params = {**ASK, "revids": str(event["revision"]["new"])}
            async with client.get(f"{sandbox.endpoint}/w/api.php", params=params, headers=headers) as found:
                [page] = (await found.json())["query"]["pages"]
            assert page["title"] == event["title"]
            assert page["revisions"][0]["revid"] == event["revision"]["new"]


async def test_a_resume_by_id_gets_what_followed(client: aiohttp.ClientSession) -> None:
    """After a cut of all streams, from the id of the last event on."""
    url = "/recentchange,mediawiki.page_change.v1"
    async with Sandbox(QUIET) as sandbox:
        async with client.get(sandbox.stream_url + url) as answer:
            await edit(client, sandbox, title="Alpha", text="one")
            before = await frames(answer, 2)
            await post(client, sandbox, "cut", {})
            assert await frames(answer, 1) == []
        await asyncio.sleep(0.002)  # the next edit is of another millisecond
        await edit(client, sandbox, title="Alpha", text="two")
        async with client.get(sandbox.stream_url + url, headers={"Last-Event-ID": before[-1][0]}) as answer:
            after = await frames(answer, 2)
        assert {event.get("type") or event["page_change_kind"] for _, event in before} == {"new", "create"}
        assert {event.get("type") or event["page_change_kind"] for _, event in after} == {"edit"}
        assert sandbox.requests["stream_resumed"] == 1


async def test_connections_are_cut_after_a_while(client: aiohttp.ClientSession) -> None:
    """Upstream does so after 15 minutes at the latest; here it is configured."""
    async with Sandbox(replace(QUIET, cut_after_s=0.05)) as sandbox:
        async with client.get(f"{sandbox.stream_url}/recentchange") as answer:
            assert await answer.content.read() == b":ok\n\n"
        assert sandbox.requests["stream_cut"] == 1


async def test_a_silence_says_nothing_and_closes_nothing(client: aiohttp.ClientSession) -> None:
    """Who is connected hears nothing for so long, who connects is served; afterwards both have everything."""
    async with (
        Sandbox(QUIET) as sandbox,
        client.get(f"{sandbox.stream_url}/recentchange") as mute,
    ):
        assert await mute.content.readline() == b":ok\n"
        await mute.content.readline()
        told = await post(client, sandbox, "silence", {"seconds": 3.0})
        assert told == {"silences": 1}
        async with client.get(f"{sandbox.stream_url}/recentchange") as served:
            await edit(client, sandbox, action="create", title="Unheard", text="Words.")
            [(_, event)] = await frames(served, 1)
        assert event["title"] == "Unheard"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await mute.content.readline()
        assert [event["title"] for _, event in await frames(mute, 1)] == ["Unheard"]


async def test_an_aborting_cut_breaks_the_connection(client: aiohttp.ClientSession) -> None:
    """A reset, not a clean end."""
    async with Sandbox(QUIET) as sandbox, client.get(f"{sandbox.stream_url}/recentchange") as answer:
        assert await answer.content.readline() == b":ok\n"
        await post(client, sandbox, "cut", {"abort": True})
        with pytest.raises(aiohttp.ClientError):
            await answer.content.read()


async def test_lines_of_json_have_no_ids(client: aiohttp.ClientSession) -> None:
    """With Accept: application/json."""
    async with Sandbox(QUIET) as sandbox:
        headers = {"Accept": "application/json"}
        async with client.get(f"{sandbox.stream_url}/recentchange", headers=headers) as answer:
            await edit(client, sandbox, title="Alpha", text="one")
            assert json.loads(await answer.content.readline())["title"] == "Alpha"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v2/stream/recentchange", {"Last-Event-ID": "nonsense"}, 400),
        ("/v2/stream/recentchange?since=nonsense", {}, 400),
        ("/v2/stream/nosuch", {}, 404),
        ("/v2/stream/recentchange", {"User-Agent": ""}, 403),
        ("/v2/stream/recentchange", {"User-Agent": "python-requests/2.32"}, 403),
        ("/w/api.php", {"User-Agent": "", **EN}, 403),
        ("/w/api.php", {"Host": "elsewhere.example"}, 404),
    ],
)
async def test_what_upstream_refuses_is_refused(
    client: aiohttp.ClientSession, path: str, headers: dict[str, str], status: int
) -> None:
    """Bad ids, unknown streams, nobody's User-Agent, an unknown host."""
    async with Sandbox(QUIET) as sandbox, client.get(sandbox.endpoint + path, headers=headers) as answer:
        assert answer.status == status


async def test_the_api_speaks_get_post_and_gzip(client: aiohttp.ClientSession) -> None:
    """The same answer in each; errors come with status 200 and a header of their own."""
    async with Sandbox(QUIET) as sandbox:
        url = f"{sandbox.endpoint}/w/api.php"
        params = {**ASK, "revids": "1001"}
        async with client.get(url, params=params, headers=EN) as answer:
            got = await answer.json()
            assert answer.headers["Content-Encoding"] == "gzip"
        async with client.post(url, data=params, headers=EN) as answer:
            assert await answer.json() == got
        async with client.get(url, params={**ASK, "revids": "x"}, headers=EN) as answer:
            assert answer.status == 200
            assert (
                answer.headers["MediaWiki-API-Error"]
                == (await answer.json())["error"]["code"]
                == "badinteger"
            )
        async with client.get(url, params={**params, "maxlag": "-1"}, headers=EN) as answer:
            assert answer.headers["Retry-After"] == "5"
            assert (await answer.json())["error"]["code"] == "maxlag"
        assert sandbox.requests["api:ensandbox"] == 4


async def test_people_can_steer_it(client: aiohttp.ClientSession) -> None:
    """Every action is told by the streams and seen in the API and the state."""
    async with Sandbox(QUIET) as sandbox:
        streams = "recentchange,mediawiki.page_change.v1,mediawiki.revision-visibility-change"
        async with client.get(f"{sandbox.stream_url}/{streams}") as answer:
            first = await edit(client, sandbox, title="Alpha", text="one")
            second = await edit(client, sandbox, title="Alpha", text="two")
            await edit(
                client, sandbox, title="Alpha", action="hide", revision=first["revision"], hide=["text"]
            )
            await edit(client, sandbox, title="Alpha", action="suppress")
            await edit(client, sandbox, title="Alpha", action="move", to="Beta")
            await edit(client, sandbox, title="Beta", action="delete")
            await edit(client, sandbox, title="Beta", action="restore")
            await edit(client, sandbox, title="Beta", action="protect")
            told = [event for _, event in await frames(answer, 15)]
        kinds = [event["page_change_kind"] for event in told if "page_change_kind" in event]
        assert kinds == ["create", "edit", "visibility_change", "move", "delete", "undelete"]
        assert len([event for event in told if "visibility" in event]) == 2
        old = await api(client, sandbox, revids=str(first["revision"]))
        assert old["query"]["pages"][0]["revisions"][0]["slots"]["main"] == {"texthidden": True}
        async with client.get(f"{sandbox.endpoint}/sandbox/state") as answer:
            page = (await answer.json())["wikis"]["ensandbox"]["pages"][str(first["page_id"])]
        assert (page["title"], page["deleted"]) == ("Beta", False)
        assert page["hidden"] == {str(first["revision"]): 1, str(second["revision"]): 15}
        assert "no page" in (await edit(client, sandbox, title="Nope", action="delete"))["message"]
        assert "taken" in (await edit(client, sandbox, title="Beta", action="create"))["message"]
        assert "unknown field" in (await edit(client, sandbox, title="Beta", typo=1))["message"]


async def test_whoever_has_a_token_may_edit(client: aiohttp.ClientSession) -> None:
    """By action=edit, as on any wiki: a page is made, then changed, and what changes nothing is told so."""
    async with Sandbox(QUIET) as sandbox:
        asked = {"action": "query", "meta": "tokens", "format": "json", "formatversion": "2"}

        async def save(**form: str) -> Any:
            given = {**asked, "action": "edit", "title": "new page", **form}
            async with client.post(f"{sandbox.endpoint}/w/api.php", data=given, headers=EN) as answer:
                return await answer.json()

        async with client.post(f"{sandbox.endpoint}/w/api.php", data=asked, headers=EN) as answer:
            token = (await answer.json())["query"]["tokens"]["csrftoken"]
        assert (await save(text="x"))["error"]["code"] == "badtoken"
        assert (await save(text="x", title="a|b", token=token))["error"]["code"] == "invalidtitle"
        made = (await save(text="x\n", token=token))["edit"]
        assert (made["result"], made["title"], made["new"]) == ("Success", "New page", True)
        changed = (await save(text="y", token=token))["edit"]
        assert (changed["oldrevid"], changed["pageid"]) == (made["newrevid"], made["pageid"])
        assert "newrevid" not in (await save(text="y", token=token))["edit"]
        (page,) = (await api(client, sandbox, titles="New page"))["query"]["pages"]
        assert page["revisions"][0]["slots"]["main"]["content"] == "y"
        assert page["revisions"][0]["revid"] == changed["newrevid"]


async def test_errors_on_request_come_as_often_as_asked(client: aiohttp.ClientSession) -> None:
    """Twice, for one wiki; then all is well again."""
    async with Sandbox(QUIET) as sandbox:
        fault = {"kind": "status", "status": 429, "retry_after_s": 7, "count": 2, "wiki": "ensandbox"}
        assert (await post(client, sandbox, "faults", fault))[0]["left"] == 2
        statuses = []
        for host in ("en", "de", "en", "en"):
            headers = {"Host": f"{host}.sandbox.example"}
            async with client.get(f"{sandbox.endpoint}/w/api.php", params=ASK, headers=headers) as answer:
                statuses.append((host, answer.status, answer.headers.get("Retry-After")))
        assert statuses == [("en", 429, "7"), ("de", 200, None), ("en", 429, "7"), ("en", 200, None)]
        assert "Invalid enum value" in (await post(client, sandbox, "faults", {"kind": "flood"}))["message"]


@pytest.mark.parametrize("kind", ["readonly", "ratelimited", "internal", "maxlag"])
async def test_errors_with_status_200(client: aiohttp.ClientSession, kind: Any) -> None:
    """As MediaWiki gives them: code in body and header."""
    async with Sandbox(QUIET) as sandbox:
        sandbox.faults.add(Fault(kind, count=1, seconds=9))
        answer = await api(client, sandbox, revids="1001", maxlag="5")
        assert answer["error"]["code"].startswith("internal_api_error" if kind == "internal" else kind)
        assert "query" in await api(client, sandbox, revids="1001", maxlag="5")


async def test_answers_that_are_none(client: aiohttp.ClientSession) -> None:
    """Broken JSON, a page of HTML, another page, another wiki, lost text, a lagging replica."""
    async with Sandbox(QUIET) as sandbox:
        url, params = f"{sandbox.endpoint}/w/api.php", {**ASK, "revids": "1001", "meta": "siteinfo"}

        async def body(fault: Fault) -> bytes:
            sandbox.faults.clear()
            sandbox.faults.add(fault)
            async with client.get(url, params=params, headers=EN) as answer:
                return await answer.read()

        for kind in ("broken_json", "html"):
            with pytest.raises(ValueError, match=r"Expecting|Unterminated|double quotes"):
                json.loads(await body(Fault(kind)))  # type: ignore[arg-type]
        other = json.loads(await body(Fault("another_page")))["query"]["pages"][0]
        assert (other["pageid"], other["revisions"][0]["revid"]) == (2, 1002)
        assert json.loads(await body(Fault("another_wiki")))["query"]["general"]["wikiid"] == "notensandbox"
        lost = json.loads(await body(Fault("text_missing")))["query"]["pages"][0]
        assert lost["revisions"][0]["slots"]["main"] == {"textmissing": True}
        lagging = json.loads(await body(Fault("replica_lag", seconds=10**9)))
        assert lagging["query"]["badrevids"] == {"1001": {"revid": 1001, "missing": True}}


async def test_connections_that_fail(client: aiohttp.ClientSession) -> None:
    """Reset at once, reset within the answer, silence, a redirect to another host."""
    async with Sandbox(QUIET) as sandbox:
        url, params = f"{sandbox.endpoint}/w/api.php", {**ASK, "revids": "1001"}
        for fault in (Fault("reset", count=2), Fault("cut_body", count=2)):
            sandbox.faults.add(fault)
            with pytest.raises(aiohttp.ClientError):
                async with client.post(url, data=params, headers=EN) as answer:
                    await answer.read()
            sandbox.faults.clear()
        sandbox.faults.add(Fault("redirect", count=1))
        async with client.get(url, params=params, headers=EN, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "https://elsewhere.example/w/api.php")
        sandbox.faults.add(Fault("silent", count=1))
        asking = asyncio.ensure_future(client.get(url, params=params, headers=EN))
        async with asyncio.timeout(DEADLINE_S):
            while not sandbox.requests["fault:silent"]:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not asking.done()
        asking.cancel()
        sandbox.faults.add(Fault("latency", count=1, seconds=0.05))
        begun_s = time.monotonic()
        assert "query" in await api(client, sandbox, revids="1001")
        assert time.monotonic() - begun_s >= 0.05


async def test_a_gzip_bomb_is_small_on_the_wire(client: aiohttp.ClientSession) -> None:
    """A hundred kilobytes that inflate to a hundred megabytes of valid JSON."""
    async with Sandbox(QUIET) as sandbox:
        sandbox.faults.add(Fault("gzip_bomb", bytes=16 << 20))
        url = f"{sandbox.endpoint}/w/api.php"
        async with (
            aiohttp.ClientSession(headers=AGENT, auto_decompress=False) as raw,
            raw.get(url, params=ASK, headers=EN) as answer,
        ):
            packed = await answer.read()
        assert len(packed) < 64 << 10
        async with client.get(f"{sandbox.endpoint}/w/api.php", params=ASK, headers=EN) as answer:
            assert await answer.json() == {"batchcomplete": True}


async def test_faults_of_the_stream(client: aiohttp.ClientSession) -> None:
    """Too many connections, and a 500 now and then."""
    async with Sandbox(QUIET) as sandbox:
        sandbox.faults.add(Fault("status", where="stream", status=500, count=1))
        sandbox.faults.add(Fault("ratelimited", where="stream", retry_after_s=1, count=1))
        statuses = []
        for _ in range(3):
            async with client.get(f"{sandbox.stream_url}/recentchange") as answer:
                statuses.append(answer.status)
        assert statuses == [500, 429, 200]


async def test_a_recording_is_streamed_and_answered_for(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """All events at once, resumable by id; any wiki of the file by its own server name."""
    events = [
        {
            "meta": {
                "dt": f"2021-08-27T13:20:{second:02d}Z",
                "stream": "mediawiki.recentchange",
                "id": str(second),
            },
            "type": "edit",
            "wiki": "xxwiki",
            "server_name": "xx.example",
            "title": f"Page {second}",
            "namespace": 0,
            "revision": {"old": 1, "new": 100 + second},
        }
        for second in range(10, 15)
    ]
    file = tmp_path / "few.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
    async with Sandbox(SandboxOptions(recording=file)) as sandbox:
        async with client.get(f"{sandbox.stream_url}/recentchange") as answer:
            told = await frames(answer, 5)
        assert [event for _, event in told] == events
        assert json.loads(told[0][0])[0]["timestamp"] == 1630070410001
        async with client.get(
            f"{sandbox.stream_url}/recentchange", headers={"Last-Event-ID": told[2][0]}
        ) as answer:
            assert [event for _, event in await frames(answer, 2)] == events[3:]
        params, headers = {**ASK, "revids": "112"}, {"Host": "xx.example"}
        async with client.get(f"{sandbox.endpoint}/w/api.php", params=params, headers=headers) as answer:
            [page] = (await answer.json())["query"]["pages"]
        assert page["title"] == "Page 12"
        assert page["revisions"][0]["slots"]["main"]["content"].startswith("Revision 112 of xxwiki.")
        assert "can't be edited" in (await edit(client, sandbox, title="Page 12"))["message"]


async def test_a_recording_can_be_played_at_its_own_pace(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """From the first connection on: what lies 0.3 s apart in the file arrives 0.3 s apart."""
    file = tmp_path / "two.jsonl"
    lines = [
        {"meta": {"dt": f"2021-08-27T13:20:10.{ms}Z", "stream": "mediawiki.recentchange"}}
        for ms in (100, 400)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    async with (
        Sandbox(SandboxOptions(recording=file, recorded_pace=True)) as sandbox,
        client.get(f"{sandbox.stream_url}/recentchange") as answer,
    ):
        await frames(answer, 1)
        begun_s = time.monotonic()
        await frames(answer, 1)
        assert time.monotonic() - begun_s > 0.1


async def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    """And a recording that isn't there, before anything listens; nothing is left behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port}.*in use"):
            async with Sandbox(SandboxOptions(port=port, pages_per_wiki=2)):
                pass
    with pytest.raises(ConfigError, match="no such file"):
        async with Sandbox(SandboxOptions(recording=tmp_path / "none.sse")):
            pass


@pytest.mark.parametrize(
    ("name", "value"), [("port", 70_000), ("edits_per_s", -1.0), ("edits_per_s", float("nan"))]
)
def test_nonsensical_options_are_refused(name: str, value: Any) -> None:
    """By name, before anything starts."""
    with pytest.raises(ConfigError, match=name):
        Sandbox(replace(QUIET, **{name: value}))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_stops_on_a_signal(number: signal.Signals) -> None:
    """With exit code 0, streams open or not."""
    command = [sys.executable, "-m", "streamer", "sandbox", "--port", "0", "--seed", "1"]
    process = await asyncio.create_subprocess_exec(
        *command, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stderr
    try:
        async with asyncio.timeout(DEADLINE_S):
            while b"sandbox listening" not in (line := await process.stderr.readline()):
                assert line, "it ended before it listened"
            process.send_signal(number)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_stops_at_once_with_streams_open(client: aiohttp.ClientSession) -> None:
    """Open streams end cleanly, a silent request is dropped, and nothing holds the exit up."""
    async with Sandbox(QUIET) as sandbox:
        answer = await client.get(f"{sandbox.stream_url}/recentchange")
        assert await answer.content.readline() == b":ok\n"
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < DEADLINE_S
    assert await answer.content.read() == b"\n"
    answer.release()
