"""The licence of a wiki, as its own site info states it. Never a constant of ours."""

from functools import lru_cache

from msgspec import UNSET

from consumers.credit import absolute, licence_identifier
from streamer.model import Licence
from streamer.origin.answer import SiteInfo


def licences(site: SiteInfo) -> list[Licence]:
    """Empty where the wiki states none: better nothing than a guess."""
    return list(_stated(site.licence_name, site.licence_url))


@lru_cache(maxsize=1_024)
def _stated(name: str, url: str) -> tuple[Licence, ...]:
    """A wiki's is the same in all its articles."""
    if not name and not url:
        return ()
    url = absolute(url)
    identifier = licence_identifier(url)
    return (Licence(name=name or identifier or url, url=url, identifier=identifier or UNSET),)
