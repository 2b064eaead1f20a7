"""Lift Wing, Wikimedia's server of models: revert risk of revisions of Wikipedias.

One POST to `…/revertrisk-language-agnostic:predict` for up to 20 revisions of one language:

    {"instances": [{"rev_id": 5, "lang": "en"}, …]}
    {"predictions": [{"model_name": …, "revision_id": 5, "output": {"prediction": false,
                      "probabilities": {"true": 0.25, "false": 0.75}}, …}], "errors": ["…", …]}

as its model server reads and writes it (wikimedia/machinelearning-liftwing-inference-services, its
batch_model.py); 422 where it can say nothing of any of them. It has a budget and a breaker of its own: the
gateway's limits are not those of the wikis. Nobody waits longer than the deadline, and whatever goes wrong is
a count and no score.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from streamer.clock import Clock
from streamer.config import ScoresSettings
from streamer.globs import matcher
from streamer.metrics import QUEUE_DEPTH, SCORES
from streamer.origin.breaker import Breakers
from streamer.origin.budget import Budget
from streamer.origin.fetch import RETRY_AFTER_MOST_S, status_reason
from streamer.origin.scheduler import Lane
from streamer.retry_after import retry_after_s

MODEL: Final = "revertrisk-language-agnostic"
PATH: Final = f"/service/lw/inference/v1/models/{MODEL}:predict"
BATCH: Final = 20
"""Of one request: with more it is refused."""
COALESCE_S: Final = 0.05
"""What arrives together travels together."""
CONCURRENCY: Final = 2
MAX_ANSWER_BYTES: Final = 256 * 1024
"""Twenty predictions are 6 kB."""
WIKIPEDIA: Final = re.compile(r"(?!test)([a-z][a-z0-9-]{1,31})\.wikipedia\.org")
"""The model knows no other project, and no wiki that is there for trying things out."""
UNSCORABLE: Final = 422


class _Output(Struct, frozen=True):
    probabilities: dict[str, float]


class _Prediction(Struct, frozen=True):
    model_name: str
    revision_id: int
    output: _Output


class _Answer(Struct, frozen=True):
    predictions: list[_Prediction]


_answers: Final = msgspec.json.Decoder(_Answer)

Risk = float | None
"""None: there is no score."""


@dataclass(slots=True, eq=False)
class _Batch:
    language: str
    waiting: dict[int, asyncio.Future[Risk]] = field(default_factory=dict)


class _Failure(Exception):
    """No scores, and why: a bounded word."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        self.reason = reason
        self.retry_after_s = retry_after_s


class LiftWing:
    """An async context manager, and a streamer.enrich.scorer.Scorer. No redirects, cookies, proxies or
    credentials from the environment.
    """

    def __init__(self, settings: ScoresSettings, user_agent: str, *, clock: Clock | None = None) -> None:
        base = URL(settings.url)
        self._url: Final = base if base.path.endswith(":predict") else base.with_path(PATH)
        self._deadline_s: Final = settings.deadline_s
        self._serves: Final = matcher(settings.wikis)
        self._user_agent: Final = user_agent
        self._clock: Final = clock or Clock()
        self._budget: Final = Budget(settings.requests_per_minute, CONCURRENCY)
        self._breakers: Final = Breakers(BATCH)
        self._lane: Final = Lane("", self._url.host or "", "revision")
        self._open: dict[str, _Batch] = {}
        """By language, those that still take revisions."""
        self._freed: Final = asyncio.Event()
        self._group: Final = asyncio.TaskGroup()
        self._sending: Final[set[asyncio.Task[None]]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "User-Agent": self._user_agent,
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            auto_decompress=False,
            trust_env=False,
        )
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for task in self._sending:
                task.cancel()
            # the group has to see a cancellation, which may be its own; an error of the body is not its
            cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
            await self._group.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
        finally:
            if self._session is not None:
                await self._session.close()

    # ── what can be asked ──────────────────────────────────────────────────────────────────────

    def serves(self, wiki: str, server_name: str) -> bool:
        return WIKIPEDIA.fullmatch(server_name) is not None and self._serves(wiki)

    async def scores(
        self, wiki: str, server_name: str, revisions: Sequence[int]
    ) -> Mapping[int, Mapping[str, float]]:
        """Within the deadline, which is that of the request: what there is by then. At once where nothing can
        be asked within it.
        """
        host = WIKIPEDIA.fullmatch(server_name)
        if host is None or not self._serves(wiki) or not revisions:
            return {}
        obstacle = self._obstacle(self._clock.monotonic_s() + self._deadline_s)
        if obstacle:
            SCORES.labels(obstacle).inc(len(revisions))
            return {}
        waiting = {revision: self._join(host[1], revision) for revision in revisions}
        await asyncio.wait(waiting.values())
        risks = {revision: future.result() for revision, future in waiting.items()}
        return {revision: {MODEL: risk} for revision, risk in risks.items() if risk is not None}

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    def _join(self, language: str, revision: int) -> asyncio.Future[Risk]:
        batch = self._open.get(language)
        if batch is None or len(batch.waiting) >= BATCH:
            batch = self._open[language] = _Batch(language)
            task = self._group.create_task(self._send(batch), name="scores")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        future = batch.waiting.get(revision)
        if future is None:
            future = batch.waiting[revision] = asyncio.get_running_loop().create_future()
            QUEUE_DEPTH.labels("scores").inc()
        return future

    async def _send(self, batch: _Batch) -> None:
        """What becomes of a batch: every one of its revisions has a score, or none."""
        risks: Mapping[int, float] = {}
        outcome = "closed"
        until_s = self._clock.monotonic_s() + self._deadline_s
        try:
            async with asyncio.timeout(self._deadline_s):
                await asyncio.sleep(COALESCE_S)
                outcome = await self._token(until_s)
                self._close(batch)
                if not outcome:
                    outcome = "timeout"
                    risks, outcome = await self._request(batch)
        except TimeoutError:
            outcome = outcome if outcome == "timeout" else "budget"
        finally:
            self._close(batch)
            QUEUE_DEPTH.labels("scores").dec(len(batch.waiting))
            for revision, future in batch.waiting.items():
                SCORES.labels("scored" if revision in risks else outcome).inc()
                if not future.done():
                    future.set_result(risks.get(revision))

    def _close(self, batch: _Batch) -> None:
        """It takes no more revisions."""
        if self._open.get(batch.language) is batch:
            del self._open[batch.language]

    async def _token(self, until_s: float) -> str:
        """Waits until a request may start, while the batch grows; the word for why none may."""
        while not (obstacle := self._obstacle(until_s)):
            now_s = self._clock.monotonic_s()
            wait_s = self._budget.free_at_s(now_s) - now_s
            if wait_s <= 0:
                return ""
            self._freed.clear()
            try:
                async with asyncio.timeout(None if wait_s == inf else wait_s):
                    await self._freed.wait()
            except TimeoutError:
                pass
        return obstacle

    def _obstacle(self, until_s: float) -> str:
        """Why no request will start before that time, as far as it can be told; "": one may."""
        now_s = self._clock.monotonic_s()
        if self._breakers.open_at_s(self._lane, now_s) > now_s:
            return "failing"
        at_s = self._budget.free_at_s(now_s)
        return "budget" if until_s < at_s < inf else ""

    async def _request(self, batch: _Batch) -> tuple[Mapping[int, float], str]:
        """The scores, and the word for those that have none."""
        host = self._lane.server_name
        started_s = self._clock.monotonic_s()
        self._budget.start(started_s)
        self._breakers.started(host, started_s)
        failure: _Failure | None = _Failure("timeout")
        try:
            risks = await self._exchange(batch)
            failure = None
        except _Failure as error:
            failure = error
            return {}, failure.reason
        else:
            return risks, "unscored"
        finally:  # also of one that the deadline ended
            now_s = self._clock.monotonic_s()
            self._budget.end(now_s)
            self._breakers.ended(host)
            self._freed.set()
            if failure is None:
                self._breakers.answered(host)
            else:
                self._breakers.failed(host, now_s, failure.retry_after_s)

    async def _exchange(self, batch: _Batch) -> Mapping[int, float]:
        """Raises _Failure."""
        assert self._session is not None, "not entered"
        asked = [{"rev_id": revision, "lang": batch.language} for revision in batch.waiting]
        try:
            async with self._session.post(
                self._url, json={"instances": asked}, allow_redirects=False
            ) as response:
                if response.status == UNSCORABLE:
                    return {}
                if response.status != 200:
                    wait_s = retry_after_s(response.headers.get("Retry-After"), most_s=RETRY_AFTER_MOST_S)
                    raise _Failure(status_reason(response.status), wait_s)
                return read(await _body(response), batch.waiting)
        except (aiohttp.ClientError, OSError, ValueError):
            raise _Failure("connect") from None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _Failure("invalid")
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            response.close()
            raise _Failure("invalid")
        chunks.append(chunk)
    return b"".join(chunks)


def read(body: bytes, asked: Mapping[int, object]) -> Mapping[int, float]:
    """The risks of those that were asked for. Raises _Failure for what is no answer of this model's."""
    try:
        answer = _answers.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _Failure("invalid") from None
    risks: dict[int, float] = {}
    for prediction in answer.predictions:
        risk = prediction.output.probabilities.get("true", -1.0)
        if prediction.model_name != MODEL or not 0 <= risk <= 1:
            raise _Failure("invalid")
        if prediction.revision_id in asked:
            risks[prediction.revision_id] = risk
    return risks
