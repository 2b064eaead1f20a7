"""Deeds of those who write."""

import asyncio
import random
import struct
import time
import zlib
from datetime import UTC, datetime, timedelta
from typing import Final
from xml.sax.saxutils import escape

from harness.mediawiki.deed import FOREIGN, Pages, deed, save, text
from harness.mediawiki.editors import Refused, Wiki
from harness.mediawiki.founding import ROBOT, STEWARD, WRITER

ADDRESSES: Final = ("192.0.2.17", "198.51.100.4", "2001:DB8:0:0:0:0:0:7")
BIG_BYTES: Final = 1_500_000


@deed(weight=6)
async def create(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    await save(wiki, WRITER, await pages.free(rng), text(rng), createonly=1)
    return True


@deed()
async def create_foreign(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Arabic, Japanese, Hindi, emoji."""
    title = await pages.free(rng, among=FOREIGN)
    await save(wiki, WRITER, title, f"'''{title}''' {text(rng)}", createonly=1)
    return True


@deed()
async def create_redirect(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    target = await pages.there(rng)
    await save(wiki, WRITER, await pages.free(rng), f"#REDIRECT [[{target}]]", createonly=1)
    return True


@deed(weight=0.3)
async def create_big(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """1.5 MB."""
    line = text(rng, 200)
    content = "\n\n".join([line] * (BIG_BYTES // len(line.encode()) + 1))
    await save(wiki, ROBOT, await pages.free(rng), content, createonly=1, bot=1)
    return True


@deed(weight=8)
async def edit(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    await save(wiki, WRITER, await pages.there(rng), text(rng), nocreate=1)
    return True


@deed(weight=2)
async def edit_minor(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    await save(wiki, WRITER, await pages.there(rng), text(rng), nocreate=1, minor=1)
    return True


@deed(weight=2)
async def edit_as_bot(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    await save(wiki, ROBOT, await pages.there(rng), text(rng), nocreate=1, bot=1)
    return True


@deed(weight=2)
async def edit_anonymously(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    await save(wiki, rng.choice(ADDRESSES), await pages.there(rng), text(rng), nocreate=1)
    return True


@deed()
async def edit_nothing(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Saved unchanged: no revision, and nothing to tell."""
    answer = await wiki.act(WRITER, "edit", title=await pages.there(rng), appendtext="", nocreate=1)
    return bool(answer["edit"].get("nochange"))


@deed()
async def edit_empty(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    return "newrevid" in await save(wiki, WRITER, await pages.there(rng), "", nocreate=1)


@deed()
async def edit_category(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Tells `categorize`, too."""
    content = f"{text(rng)}\n[[Category:Proofs {rng.randrange(1_000_000)}]]"
    await save(wiki, WRITER, await pages.there(rng), content, nocreate=1)
    return True


SECONDS: Final = 30
"""That are tried: on a busy machine two edits seldom fit into one."""


@deed(weight=2)
async def edit_twice_in_a_second(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Two revisions with the same time; where a second ends in between, once more."""
    title = await pages.there(rng)
    for _ in range(SECONDS):
        await asyncio.sleep(1 - time.time() % 1)
        first = await save(wiki, WRITER, title, text(rng), nocreate=1)
        second = await save(wiki, WRITER, title, text(rng), nocreate=1)
        if first["newtimestamp"] == second["newtimestamp"]:
            return True
    return False


@deed()
async def rollback(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """An edit from an address, and its end."""
    title, address = await pages.there(rng), rng.choice(ADDRESSES)
    await save(wiki, address, title, f"vandalism {text(rng)}", nocreate=1)
    await wiki.act(STEWARD, "rollback", token="rollback", title=title, user=address)
    return True


@deed()
async def undo(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Of the newest revision."""
    title, newest = await pages.revision(rng, newest=True, where="rev_parent_id != 0")
    answer = await wiki.act(WRITER, "edit", title=title, undo=newest, nocreate=1)
    return "newrevid" in answer["edit"]


@deed()
async def change_model(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """From wikitext to plain text, or back."""
    title = await pages.there(rng)
    answer = await wiki.read(action="query", titles=title, prop="info")
    model = "text" if answer["query"]["pages"][0]["contentmodel"] == "wikitext" else "wikitext"
    await wiki.act(STEWARD, "changecontentmodel", title=title, model=model, summary="another model")
    return True


@deed()
async def import_new(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """A page with a history of another wiki's."""
    return await _import(wiki, rng, await pages.free(rng))


@deed()
async def import_onto(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:
    """Older revisions for a page that is there."""
    return await _import(wiki, rng, await pages.there(rng))


async def _import(wiki: Wiki, rng: random.Random, title: str) -> bool:
    first = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(10_000_000))
    revisions = "".join(
        f"<revision><timestamp>{first + timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}</timestamp>"
        "<contributor><username>Somebody</username></contributor><comment>elsewhere</comment>"
        "<model>wikitext</model><format>text/x-wiki</format>"
        f'<text xml:space="preserve">{escape(text(rng))}</text></revision>'
        for day in range(2)
    )
    dump = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">'
        f"<page><title>{escape(title)}</title><ns>0</ns>{revisions}</page></mediawiki>"
    )
    answer = await wiki.act(
        STEWARD, "import", xml=dump.encode(), interwikiprefix="elsewhere", summary="from elsewhere"
    )
    return bool(answer["import"][0]["revisions"] == 2)


@deed()
async def upload(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:  # noqa: ARG001 - files have titles of their own
    """Of a new file."""
    return await _upload(wiki, rng, f"Proof {rng.randrange(1 << 32):08x}.png")


@deed()
async def upload_again(wiki: Wiki, rng: random.Random, pages: Pages) -> bool:  # noqa: ARG001 - the same
    """Another version of a file that is there."""
    names = [name for (name,) in wiki.rows("SELECT img_name FROM image ORDER BY img_name")]
    if not names:
        raise Refused("nothing_there", "no file")
    name = rng.choice(names)
    return await _upload(wiki, rng, name.decode() if isinstance(name, bytes) else name)


async def _upload(wiki: Wiki, rng: random.Random, name: str) -> bool:
    answer = await wiki.act(
        STEWARD,
        "upload",
        filename=name,
        comment="a file",
        text=f"What this is: {text(rng)}",
        ignorewarnings=1,
        file=picture(rng),
    )
    return bool(answer["upload"]["result"] == "Success")


def picture(rng: random.Random, side: int = 8) -> bytes:
    """A PNG of random grey pixels, a square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + rng.randbytes(side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    image = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + image
