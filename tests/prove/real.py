"""Real MediaWikis as the proof's (harness.mediawiki)."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from harness.mediawiki import WikiFarm

from prove.wiki import Json, PageKey, Truth


class Real:
    def __init__(self, folder: Path) -> None:
        self._farm = WikiFarm(folder)

    async def __aenter__(self) -> Self:
        await self._farm.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._farm.__aexit__(kind, error, trace)

    @property
    def done(self) -> Counter[str]:
        return self._farm.done

    @property
    def undone(self) -> Sequence[str]:
        return self._farm.undone

    @property
    def endpoint(self) -> str:
        return self._farm.endpoint

    @property
    def stream_url(self) -> str:
        return self._farm.stream_url

    @property
    def allowed_hosts(self) -> Sequence[str]:
        return self._farm.allowed_hosts

    @property
    def wikis(self) -> Sequence[str]:
        return tuple(self._farm.wikis)

    @property
    def requests(self) -> int:
        return self._farm.gate.requests.total()

    async def deed(self, rng: Random) -> str | None:
        return await self._farm.deed(rng)

    async def truth(self) -> dict[PageKey, Truth]:
        return {
            page: Truth(told.title, told.deleted, told.sha1)
            for page, told in (await self._farm.truth()).items()
        }

    def events(self) -> list[Json]:
        return [json.loads(entry.data) for entry in self._farm.feed.read(0, self._farm.feed.end)]

    def cut(self, *, abort: bool) -> None:
        self._farm.cut(abort=abort)

    def silence(self, seconds: float) -> None:
        self._farm.silence(seconds)
