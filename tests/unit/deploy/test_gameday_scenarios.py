"""What can break in an exercise."""

import pytest

from deploy.gameday.process import ROOT
from deploy.gameday.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_is_practised_has_a_runbook(scenario: Scenario) -> None:
    """For each alert that would be right; whoever is told one finds its page."""
    assert scenario.alerts
    for alert in scenario.alerts:
        assert (ROOT / "deploy" / "runbooks" / f"{alert}.md").is_file()
