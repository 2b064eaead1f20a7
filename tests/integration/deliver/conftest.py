"""What tests of a running role share."""

import pytest
from harness.detaching import WAYS, Way, goes


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    """How streams go out in this test."""
    return _chosen(request, monkeypatch)


@pytest.fixture(params=["detached", "elsewhere", pytest.param("attached", marks=pytest.mark.soak)])
def costly_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    """〃, for tests that take their time."""
    return _chosen(request, monkeypatch)


def _chosen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    chosen: Way = request.param
    goes(monkeypatch, chosen)
    return chosen
