"""The parameters of an API request, and the error that a wrong one gives. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

LIMIT: Final = 50
HIGH_LIMIT: Final = 500
"""What an account with apihighlimits may ask for; nobody has it here."""


class ApiError(Exception):
    """Comes with HTTP 200; `extra` are further keys of `error`, `headers` further headers."""

    def __init__(
        self,
        code: str,
        info: str,
        *,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {info}")
        self.code = code
        self.info = info
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


class Params:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def get(self, name: str) -> str:
        return self._values.get(name, "")

    def several(self, name: str) -> list[str]:
        """Separated by bars, or by U+001F where the value begins with it; at most 50, without doubles."""
        text = self.get(name)
        values = text[1:].split("\x1f") if text.startswith("\x1f") else text.split("|")
        distinct = list(dict.fromkeys(value for value in values if value))
        if len(distinct) > LIMIT:
            raise ApiError(
                "toomanyvalues",
                f'Too many values supplied for parameter "{name}". The limit is {LIMIT}.',
                extra={"limit": LIMIT, "lowlimit": LIMIT, "highlimit": HIGH_LIMIT},
            )
        return distinct

    def numbers(self, name: str) -> list[int]:
        return list(dict.fromkeys(_number(name, value) for value in self.several(name)))

    def number(self, name: str, default: int, *, most: int = 0) -> int:
        """`max` is the most that is allowed."""
        text = self.get(name)
        if not text:
            return default
        if text == "max" and most:
            return most
        return min(_number(name, text), most) if most else _number(name, text)

    def time_ms(self, name: str) -> int | None:
        """ISO 8601, MediaWiki's 14 digits, or seconds since 1970."""
        text = self.get(name)
        if not text:
            return None
        try:
            if text.isdecimal() and len(text) == 14:
                return int(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp() * 1000)
            if text.isdecimal():
                return int(text) * 1000
            return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
        except ValueError:
            raise ApiError(
                "badtimestamp", f'Invalid value "{text}" for timestamp parameter "{name}".'
            ) from None


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ApiError("badinteger", f'Invalid value "{text}" for integer parameter "{name}".') from None
