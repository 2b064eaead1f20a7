"""Rules that are so many times as fast, and otherwise the same."""

import pytest

from deploy.gameday.scaled import expression, scaled


@pytest.mark.parametrize(
    ("text", "faster"),
    [
        ("rate(a[5m]) > 0.5", "rate(a[10000ms]) > 0.5"),
        ("increase(a[1h]) or a offset 1h", "increase(a[120000ms]) or a offset 120000ms"),
        ("rate(a[1m])", "rate(a[6000ms])"),
        ("time() - a > 10 * 60", "time() - a > 10 * 2"),
        ("time() - a > bool 5 * 60 and b", "time() - a > bool 5 * 2 and b"),
        ("a - time() < 14 * 24 * 60 * 60", "a - time() < 14 * 24 * 60 * 60"),
        ("x_5m > 300", "x_5m > 300"),
        ("avg_over_time(a:b[3d])", "avg_over_time(a:b[8640000ms])"),
    ],
)
def test_durations_and_ages_of_minutes_shrink(text: str, faster: str) -> None:
    """Thirty times here; days, shares, counts and names stay, and no range is shorter than some scrapes."""
    assert expression(text, 30) == faster


def test_a_rule_keeps_all_else() -> None:
    """Labels and annotations, and what has no `for` gets none."""
    alert = {"alert": "A", "expr": "a > 1", "for": "5m", "labels": {"severity": "page"}}
    record = {"record": "b", "expr": "rate(a[5m])"}
    rules = {"groups": [{"name": "g", "rules": [alert, record]}]}
    assert scaled(rules, 30) == {
        "groups": [
            {"name": "g", "rules": [alert | {"for": "10000ms"}, record | {"expr": "rate(a[10000ms])"}]}
        ]
    }
