"""The rules of deploy/prometheus with a clock that runs faster: what takes minutes takes seconds.

What is scaled, in the text: `for`, `interval` and `keep_firing_for` of groups and rules, ranges (`[5m]`),
offsets (`offset 1h`), and ages, which the rules write as a product that ends in `* 60` for that reason.
Nothing else is: neither shares nor counts, nor the bounds of histograms. Ages of days may be left as they
are: those of certificates and lists, which an exercise can't hurry.
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


def scaled(text: str, factor: float, *, days: bool = True, least_for_s: float = 0.0) -> str:
    """The text of a file of rules. Ranges become no shorter than LEAST_RANGE_S, what an alert waits no
    shorter than `least_for_s`.
    """

    def spanned(match: re.Match[str]) -> str:
        own_s = seconds(match[1])
        return f"[{_told(max(own_s * factor, min(own_s, LEAST_RANGE_S)))}]"

    def waited(match: re.Match[str]) -> str:
        own_s = seconds(match[2])
        return match[1] + _told(max(own_s * factor, min(own_s, least_for_s)))

    def aged(match: re.Match[str]) -> str:
        return f"({match[1]} * {factor})" if days or match[1].count("*") < 2 else match[1]

    text = SETTING.sub(waited, text)
    text = RANGE.sub(spanned, text)
    text = OFFSET.sub(lambda match: f"offset {_told(seconds(match[1]) * factor)}", text)
    return AGE.sub(aged, text)


def scaled_rules(
    rules: Path, into: Path, factor: float, *, days: bool = True, least_for_s: float = 0.0
) -> Path:
    """All files of the folder, in another one; the pattern for `rule_files`."""
    into.mkdir()
    for file in sorted(rules.glob("*.yml")):
        (into / file.name).write_text(
            scaled(file.read_text("utf-8"), factor, days=days, least_for_s=least_for_s), "utf-8"
        )
    return into / "*.yml"
