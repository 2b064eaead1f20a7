"""The rules of deploy/prometheus, so many times as fast: minutes of an alert are seconds (pure).

Durations shrink: ranges, offsets and `for`. So do ages of minutes, which are compared with a product that
ends in `* 60` (rules/recording.yml says so). Days (`* 60 * 60`), shares and counts stay what they are.
"""

import re
from typing import Any, Final

SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
DURATION: Final = re.compile(r"(?<=\[)\d+[smhdw](?=\])|(?<=\boffset )\d+[smhdw]\b")
AGE: Final = re.compile(r"(?<! 60) \* 60\b(?! \*)")
LEAST_MS: Final = 6_000
"""Some scrapes must lie within a range; one may fail on a busy machine, and is no process that is down."""


def scaled(rules: dict[str, Any], factor: float) -> dict[str, Any]:
    """A rule file as YAML gives it, `factor` times as fast."""
    return {
        **rules,
        "groups": [
            {**group, "rules": [_rule(rule, factor) for rule in group["rules"]]} for group in rules["groups"]
        ],
    }


def _rule(rule: dict[str, Any], factor: float) -> dict[str, Any]:
    changed = {**rule, "expr": expression(str(rule["expr"]), factor)}
    if "for" in rule:
        changed["for"] = _shorter(str(rule["for"]), factor)
    return changed


def expression(text: str, factor: float) -> str:
    """`factor` times as fast."""

    def shorter(match: re.Match[str]) -> str:
        return _shorter(match[0], factor)

    return AGE.sub(f" * {60 / factor:g}", DURATION.sub(shorter, text))


def _shorter(duration: str, factor: float) -> str:
    ms = int(duration[:-1]) * SECONDS[duration[-1]] * 1_000 / factor
    return f"{max(LEAST_MS, round(ms))}ms"
