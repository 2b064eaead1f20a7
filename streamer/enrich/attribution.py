"""An article's attribution, by what its wiki says of itself."""

from consumers.credit import sentence
from streamer.enrich.address import history_url, revision_url
from streamer.enrich.licence import licences
from streamer.model import Attribution
from streamer.origin.answer import SiteInfo


def attribution_of(site: SiteInfo, title: str, revision: int) -> Attribution:
    licence = licences(site)
    return Attribution(
        text=sentence(title, site.name, site.server_name, licence),
        title=title,
        revision_url=revision_url(site, title, revision),
        history_url=history_url(site, title),
        license=licence,
    )
