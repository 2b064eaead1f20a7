"""The licence of a wiki, as its own site info states it. Never a constant of ours."""

import re
from functools import lru_cache
from typing import Final

from msgspec import UNSET

from streamer.model import Licence
from streamer.origin.answer import SiteInfo

_CREATIVE_COMMONS: Final = re.compile(
    r"creativecommons\.org/licenses/(by(?:-nc)?(?:-nd|-sa)?)/(\d\.\d)(?:/([a-z]{2,3})(?=/|$))?", re.IGNORECASE
)
_PUBLIC_DOMAIN: Final = re.compile(r"creativecommons\.org/publicdomain/zero/(\d\.\d)", re.IGNORECASE)
_GFDL: Final = re.compile(r"gnu\.org/(?:copyleft/fdl|licenses/(?:old-licenses/)?fdl-(\d\.\d))", re.IGNORECASE)


def licence_identifier(url: str) -> str:
    """SPDX-like, e.g. `CC-BY-SA-4.0`; "" where the URL names no licence we know."""
    if match := _CREATIVE_COMMONS.search(url):
        ported = f"-{match[3].upper()}" if match[3] else ""
        return f"CC-{match[1].upper()}-{match[2]}{ported}"
    if match := _PUBLIC_DOMAIN.search(url):
        return f"CC0-{match[1]}"
    if match := _GFDL.search(url):
        return f"GFDL-{match[1]}" if match[1] else "GFDL"
    return ""


def licences(site: SiteInfo) -> list[Licence]:
    """Empty where the wiki states none: better nothing than a guess."""
    return list(_stated(site.licence_name, site.licence_url))


@lru_cache(maxsize=1_024)
def _stated(name: str, url: str) -> tuple[Licence, ...]:
    """A wiki's is the same in all its articles."""
    if not name and not url:
        return ()
    url = f"https:{url}" if url.startswith("//") else url
    identifier = licence_identifier(url)
    return (Licence(name=name or identifier or url, url=url, identifier=identifier or UNSET),)
