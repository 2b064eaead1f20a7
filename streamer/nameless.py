"""Who edits without an account of their own: by address, or by a temporary account."""

import re
from ipaddress import ip_address
from typing import Final

TEMPORARY_USER: Final = re.compile(r"~2\d{3}-\d")
"""Temporary accounts are `~2026-12881-95`; older APIs have no flag for them."""
_MASKED: Final = re.compile(r"(?:\d{1,3}\.){2,3}[x*]{1,3}", re.ASCII | re.IGNORECASE)
"""`192.0.2.xxx`: how early versions of MediaWiki signed."""


def is_address(user: str) -> bool:
    """A range is one too."""
    try:
        ip_address(user.partition("/")[0])
    except ValueError:
        return _MASKED.fullmatch(user) is not None
    return True


def is_nameless(user: str) -> bool:
    """By its form alone; `en>192.0.2.1` is one that was imported."""
    user = user.rpartition(">")[2].strip()
    return is_address(user) or TEMPORARY_USER.match(user) is not None
