"""What a wiki says about itself (`meta=siteinfo`). Pure."""

from typing import Final

from streamer.model import rfc3339
from streamer.sandbox.languages import NAMESPACES
from streamer.sandbox.pages import Site

GENERATOR: Final = "MediaWiki 1.45.0-wmf.1"


def general(site: Site, now_ms: int) -> dict[str, object]:
    server = f"https://{site.server_name}"
    return {
        "mainpage": "Main Page",
        "base": f"{server}/wiki/Main_Page",
        "sitename": site.name,
        "mainpageisdomainroot": False,
        "generator": GENERATOR,
        "case": "first-letter",
        "lang": site.language,
        "fallback": [],
        "rtl": site.rtl,
        "readonly": False,
        "writeapi": True,
        "maxarticlesize": 2_097_152,
        "timezone": "UTC",
        "timeoffset": 0,
        "articlepath": "/wiki/$1",
        "scriptpath": "/w",
        "script": "/w/index.php",
        "variantarticlepath": False,
        "server": server,
        "servername": site.server_name,
        "wikiid": site.wiki,
        "time": rfc3339(now_ms),
        "misermode": True,
        "uploadsenabled": False,
    }


def namespaces(site: Site) -> dict[str, object]:
    """A canonical name is given where the namespace has one; the main namespace has none."""
    answer: dict[str, object] = {}
    for number, name in sorted(site.namespaces.items()):
        entry: dict[str, object] = {
            "id": number,
            "case": "first-letter",
            "name": name,
            "subpages": number > 0 and number != 6,
        }
        if number and number in NAMESPACES:
            entry["canonical"] = NAMESPACES[number]
        answer[str(number)] = entry | {"content": number == 0, "nonincludable": False}
    return answer


def rights(site: Site) -> dict[str, object]:
    return {"url": site.licence_url, "text": site.licence_name}
