"""One question at a time, whoever asks: who comes while it is under way shares the next one.

For answers that must be no older than the question, and that many want at the same moment: of a cluster each
would be a request of its own.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")
_Sharing = asyncio.Future[tuple[Answer] | None]


class Rounds(Generic[Answer]):
    def __init__(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        self._ask = ask
        self._one_at_a_time = asyncio.Lock()
        self._is_led = False
        """Somebody is about to ask."""
        self._sharing: list[_Sharing[Answer]] = []
        """Who waits for that; it gets None where it has to ask again."""

    async def answer(self) -> Answer:
        """By a question that began after this call. Raises what `ask` raises, to all who shared it."""
        loop = asyncio.get_running_loop()
        while self._is_led:
            future: _Sharing[Answer] = loop.create_future()
            self._sharing.append(future)
            found = await future
            if found is not None:
                return found[0]
        return await self._lead()

    async def _lead(self) -> Answer:
        self._is_led = True
        sharing: list[_Sharing[Answer]] | None = None
        found: tuple[Answer] | None = None
        failure: Exception | None = None
        try:
            await asyncio.sleep(0)  # for all who ask in this turn
            async with self._one_at_a_time:
                sharing = self._begin()
                found = (await self._ask(),)
        except Exception as error:  # whatever it is, those who share the question must hear of it
            failure = error
            raise
        finally:
            for future in self._begin() if sharing is None else sharing:
                if future.done():  # its caller was cancelled
                    continue
                if failure is not None:
                    future.set_exception(copy.copy(failure))  # each raises its own
                else:
                    future.set_result(found)
        return found[0]

    def _begin(self) -> list[_Sharing[Answer]]:
        """Who comes from now on asks anew."""
        sharing, self._sharing, self._is_led = self._sharing, [], False
        return sharing
