"""Addresses on a wiki, encoded as MediaWiki encodes them, so that they equal its own links."""

from consumers.credit import encode_title
from streamer.origin.answer import SiteInfo


def page_url(site: SiteInfo | None, server_name: str, title: str) -> str:
    """Without site info, the path that all of Wikimedia's wikis have."""
    if site is None:
        return f"https://{server_name}/wiki/{encode_title(title)}"
    return site.server + site.article_path.replace("$1", encode_title(title))


def revision_url(site: SiteInfo, title: str, revision: int) -> str:
    return f"{site.server}{site.script_path}/index.php?title={encode_title(title)}&oldid={revision}"


def history_url(site: SiteInfo, title: str) -> str:
    return f"{site.server}{site.script_path}/index.php?title={encode_title(title)}&action=history"
