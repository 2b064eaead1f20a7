"""The rules of deploy/prometheus with a clock that runs faster: what takes minutes takes seconds.

What is scaled, in the text: `for`, `interval` and `keep_firing_for` of groups and rules, ranges (`[5m]`),
offsets (`offset 1h`), and ages, which the rules write as a product that ends in `* 60` for that reason.
Nothing else is: neither shares nor counts, nor the bounds of histograms.
"""

import re
from pathlib import Path
from typing import Final

SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
DURATION: Final = r"\d+(?:ms|s|m|h|d|w)"
SETTING: Final = re.compile(rf"^(\s+(?:- )?(?:for|interval|keep_firing_for): )({DURATION})\b", re.MULTILINE)
RANGE: Final = re.compile(rf"\[({DURATION})\]")
OFFSET: Final = re.compile(rf"\boffset ({DURATION})\b")
AGE: Final = re.compile(r"\b((?:\d+(?:\.\d+)? \* )+60)\b")
LEAST_RANGE_S: Final = 4.0
"""A shorter one would hold too few samples, of one a second, to have a rate."""


def seconds(duration: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", duration, re.ASCII).groups()  # type: ignore[union-attr]
    return int(number) * SECONDS[unit]


def _told(duration_s: float) -> str:
    return f"{max(1, round(duration_s * 1_000))}ms"


def scaled(text: str, factor: float) -> str:
    """The text of a file of rules. Ranges become no shorter than LEAST_RANGE_S."""

    def spanned(match: re.Match[str]) -> str:
        own_s = seconds(match[1])
        return f"[{_told(max(own_s * factor, min(own_s, LEAST_RANGE_S)))}]"

    text = SETTING.sub(lambda match: match[1] + _told(seconds(match[2]) * factor), text)
    text = RANGE.sub(spanned, text)
    text = OFFSET.sub(lambda match: f"offset {_told(seconds(match[1]) * factor)}", text)
    return AGE.sub(lambda match: f"({match[1]} * {factor})", text)


def scaled_rules(rules: Path, into: Path, factor: float) -> Path:
    """All files of the folder, in another one; the pattern for `rule_files`."""
    into.mkdir()
    for file in sorted(rules.glob("*.yml")):
        (into / file.name).write_text(scaled(file.read_text("utf-8"), factor), "utf-8")
    return into / "*.yml"
