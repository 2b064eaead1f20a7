"""What a test is told where its readers fail, or where it fails itself while they read."""

import asyncio
from pathlib import Path

import pytest
from harness.delivering import delivering
from harness.judge import Readers
from harness.service import in_short

WRONG = "wrs_test_key_of_nobody"


async def test_a_reader_that_fails_tells_what_it_was_answered(tmp_path: Path) -> None:
    """The last line has the status, the headers and the problem; none has the key."""
    async with delivering(tmp_path) as server:
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(30), Readers(server.url, {"nobody": WRONG}):
                await asyncio.Event().wait()
    *_, last = said = list(in_short(caught.value))
    assert last.startswith("the reader of nobody: 0 breaks, last id '', last answer 401 {")
    assert "WWW-Authenticate" in last
    assert "urn:streamer:problem:unauthorized" in last
    assert WRONG not in "".join(said)


async def test_a_failure_beside_the_readers_comes_as_it_is(tmp_path: Path) -> None:
    """Not as one of a group, which is what the failure of a reader is."""
    async with delivering(tmp_path) as server:
        with pytest.raises(ValueError, match="of the test's own"):
            async with Readers(server.url, {}):
                raise ValueError("of the test's own")
