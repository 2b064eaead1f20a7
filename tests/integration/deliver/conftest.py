"""What tests of a running role share."""

import pytest
from harness.detaching import WAYS, Way, goes


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    """How streams go out in this test."""
    chosen: Way = request.param
    goes(monkeypatch, chosen)
    return chosen
