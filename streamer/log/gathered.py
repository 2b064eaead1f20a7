"""Questions to the file, answered by one thread in one go: those of one turn of the loop, or, while a thread
is at it, all that come until it is back.

A commit of many topics wakes a reader of each, and a way to a thread and back costs more than what each has
to ask there. The busier it gets, the more share a way.
"""

import asyncio
import copy
import sqlite3
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from streamer.errors import LogError
from streamer.log.pool import ReadPool

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Asked = tuple[Question, asyncio.Future[Answer]]


class Gathered(Generic[Question, Answer]):
    """`answer` is called in a thread, after the last of the questions was asked. It may answer the first of
    them only, at least one: the rest are asked again. An exception for an answer is raised at who asked; one
    that it raises itself, at all.
    """

    def __init__(
        self,
        pool: ReadPool,
        answer: Callable[[sqlite3.Connection, Sequence[Question]], Sequence[Answer | Exception]],
    ) -> None:
        self._pool = pool
        self._answer = answer
        self._asked: list[Asked[Question, Answer]] = []
        self._is_under_way = False

    async def ask(self, question: Question) -> Answer:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if not self._asked and not self._is_under_way:
            loop.call_soon(self._begin)
        self._asked.append((question, future))
        return await future

    def _begin(self) -> None:
        asked = [one for one in self._asked if not one[1].done()]  # its caller was cancelled
        self._asked = []
        self._is_under_way = bool(asked)
        if not asked:
            return
        questions = [question for question, _ in asked]
        try:
            job = self._pool.submit(lambda connection: self._answer(connection, questions))
        except LogError as error:
            self._is_under_way = False
            _refuse(asked, error)
        else:
            job.add_done_callback(lambda job: self._take(job, asked))

    def _take(
        self, job: asyncio.Future[Sequence[Answer | Exception]], asked: list[Asked[Question, Answer]]
    ) -> None:
        error = asyncio.CancelledError() if job.cancelled() else job.exception()
        if error is not None:
            _refuse(asked, error)
        else:
            answers = job.result()
            _deliver(asked, answers)
            self._asked = asked[len(answers) :] + self._asked
        self._begin()


def _deliver(asked: Sequence[Asked[Question, Answer]], answers: Sequence[Answer | Exception]) -> None:
    for (_, future), answer in zip(asked, answers, strict=False):
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _refuse(asked: Sequence[Asked[Question, Answer]], error: BaseException) -> None:
    for _, future in asked:
        if not future.done():
            future.set_exception(copy.copy(error))  # each raises its own
