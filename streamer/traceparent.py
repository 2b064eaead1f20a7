"""W3C trace context of a change, the same on every run and in every process: a trace's id is its identifier.

A partner makes it of `event.identifier`, or reads it in the header `traceparent` of a record.
"""

from typing import Final

NEVER_SAMPLED: Final = "g"
"""Behind every digit."""
TRACE_PART: Final = slice(3, 35)
"""Of a `traceparent`: the trace's id, 32 hexadecimal digits."""
RANDOM_PART: Final = slice(21, 35)
"""Its last 56 bits, by which alone is to be chosen (W3C trace context, level 2). Those before them are not
random: an identifier is a UUID, whose version and variant stand there, so that a sampler which looks at 64
bits takes all traces or none.
"""
RANDOM_BITS: Final = 56


def sampled_from(part: float) -> str:
    """From these 14 digits of RANDOM_PART on a trace is among the `part` of all that are recorded: so who
    records less records some of the same.
    """
    if part <= 0:
        return NEVER_SAMPLED
    return f"{min(round((1 - part) * 2**RANDOM_BITS), 2**RANDOM_BITS - 1):014x}"


def traceparent_of(identifier: str, sampled: str = NEVER_SAMPLED) -> str:
    """Its flag says whether we record the trace: `sampled` is of `sampled_from`."""
    trace = identifier.replace("-", "")
    return f"00-{trace}-{trace[16:]}-{'01' if trace[18:] >= sampled else '00'}"
