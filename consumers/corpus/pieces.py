"""A dump's file, cut into pieces that end between two pages, in the order of the file.

Wikimedia's multistream bz2 is many bz2 streams of about a hundred pages each. They begin at byte borders, so
a range of the file is a piece: whoever reads it finds the first stream's magic number in it and unpacks all
that begin in it, beside others that do the same. Its index file is not needed for that. Everything else
(plain, gz, zst, bz2 of one stream, or of streams that end anywhere) is unpacked from the beginning, and cut
behind a `</page>`.
"""

import bz2
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol, cast

import zstandard

from consumers.corpus.dump import END_OF_HEAD, MAX_HEAD_BYTES, Pages, Read, head_of
from consumers.corpus.site import Site
from consumers.errors import DumpError

RANGE_BYTES: Final = 1 << 20
"""Of a multistream file: some 5 MB of XML, or one stream where that is larger."""
CHUNK_BYTES: Final = 4 << 20
"""Of XML, and up to the end of the page."""
MAX_PAGE_BYTES: Final = 128 << 20
"""Of XML: all revisions of a page. 16 MB of quotation marks are 96 MB."""
MAX_STREAM_BYTES: Final = 16 << 20
"""Of a stream of a hundred pages, packed; larger ones are those of a file that was put together of parts."""
MAX_UNPACKED_BYTES: Final = 512 << 20
"""Of a range."""
BLOCK_BYTES: Final = 1 << 20
IDENTITY_BYTES: Final = 1 << 16
MAGIC: Final = re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)")
"""How a bz2 stream begins; the second form has nothing in it."""
MAGIC_BYTES: Final = 10
_END_OF_PAGE: Final = b"</page>"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


class Piece(NamedTuple):
    file: str
    begin: int
    """Of a multistream file in its bytes; else in bytes of the XML."""
    end: int
    read_bytes: int
    """Of the file, packed, once this piece is done."""
    xml: bytes | None = None
    """None: a range of a multistream file."""
    is_last: bool = False


class Dump(NamedTuple):
    """One file, looked at. `first` is where its pages begin."""

    path: Path
    site: Site
    size_bytes: int
    identity: str
    is_multistream: bool
    first: int


def opened(path: Path) -> Dump:
    """Raises DumpError for what is no dump, or can't be read."""
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            identity = _identity(file, size_bytes)
            head, first = _head_of_stream(path, file)
            is_multistream = first > 0
            if not is_multistream:
                head = _head(path)
    except OSError as error:
        raise DumpError(f"{path} can't be read: {error.strerror or error}") from None
    site = head_of(str(path), head)
    return Dump(path, site, size_bytes, identity, is_multistream, first if is_multistream else len(head))


def pieces(
    dump: Dump, since: int = 0, *, range_bytes: int = RANGE_BYTES, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Piece]:
    """Those after the one that ended at `since`. Raises DumpError."""
    if dump.is_multistream:
        return _ranges(dump, since, range_bytes)
    return _chunks(dump, since, chunk_bytes)


def read(
    piece: Piece,
    site: Site,
    *,
    at: int | None,
    keep_wikitext: bool,
    namespaces: Sequence[int] | None = None,
) -> Read:
    """Raises DumpError."""
    if piece.xml is not None:
        where, begin = "byte of the XML", piece.begin
    else:
        where, begin = f"the bz2 streams from byte {piece.begin}, byte of their XML", 0
    pages = Pages(site, piece.file, where, begin, at=at, keep_wikitext=keep_wikitext, namespaces=namespaces)
    try:
        for data in _unpacked(piece) if piece.xml is None else (piece.xml,):
            pages.feed(data)
    except OSError as error:
        raise DumpError(f"{piece.file} from byte {piece.begin}: no bz2, or damaged ({error})") from None
    return pages.read()


def _identity(file: BinaryIO, size_bytes: int) -> str:
    """The same file under another name is known again; not worth reading all of it."""
    seen = hashlib.sha256(str(size_bytes).encode())
    seen.update(file.read(IDENTITY_BYTES))
    file.seek(max(0, size_bytes - IDENTITY_BYTES))
    seen.update(file.read(IDENTITY_BYTES))
    file.seek(0)
    return seen.hexdigest()[:32]


# ── many streams ───────────────────────────────────────────────────────────────────────────────


def _head_of_stream(path: Path, file: BinaryIO) -> tuple[bytes, int]:
    """The head, where it is a bz2 stream of its own with pages in streams behind it, and where these begin;
    else 0.
    """
    start = file.read(MAX_HEAD_BYTES)
    if not MAGIC.match(start):
        return b"", 0
    unpacker = bz2.BZ2Decompressor()
    try:
        head = unpacker.decompress(start, MAX_HEAD_BYTES)
        if not unpacker.eof or not head.rstrip().endswith(END_OF_HEAD):
            return b"", 0
        rest = unpacker.unused_data
        if not MAGIC.match(rest) or not bz2.BZ2Decompressor().decompress(rest, 1_024).lstrip().startswith(
            b"<page>"
        ):
            return b"", 0
    except OSError:
        raise DumpError(f"{path} begins like bz2 and is damaged within its head") from None
    first = len(start) - len(rest)
    file.seek(first + MAGIC_BYTES)
    is_small = MAGIC.search(file.read(MAX_STREAM_BYTES)) is not None
    return (head, first) if is_small else (b"", 0)


def _ranges(dump: Dump, since: int, range_bytes: int) -> Iterator[Piece]:
    begin = max(since, dump.first)
    while begin < dump.size_bytes:
        end = min(begin + range_bytes, dump.size_bytes)
        yield Piece(str(dump.path), begin, end, end, is_last=end == dump.size_bytes)
        begin = end


def _unpacked(piece: Piece) -> Iterator[bytes]:
    """Of all streams that begin in the range; a stream that runs beyond it, to its end. Raises OSError."""
    total = 0
    with Path(piece.file).open("rb") as file:
        begin = _first_stream(file, piece)
        while begin < piece.end:
            file.seek(begin)
            unpacker = bz2.BZ2Decompressor()
            while not unpacker.eof:
                packed = file.read(BLOCK_BYTES) if unpacker.needs_input else b""
                if unpacker.needs_input and not packed:
                    raise DumpError(f"{piece.file} ends within the bz2 stream at byte {begin}: is it whole?")
                data = unpacker.decompress(packed, BLOCK_BYTES)
                total += len(data)
                if total > MAX_UNPACKED_BYTES:
                    raise DumpError(
                        f"{piece.file}: the bz2 stream at byte {begin} unpacks to what no pages are"
                    )
                yield data
            begin = file.tell() - len(unpacker.unused_data)


def _first_stream(file: BinaryIO, piece: Piece) -> int:
    """The end of the range where none begins in it."""
    file.seek(piece.begin)
    start = file.read(piece.end - piece.begin + MAGIC_BYTES - 1)
    found = MAGIC.search(start)
    return piece.begin + found.start() if found else piece.end


# ── one after the other ────────────────────────────────────────────────────────────────────────


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _unpacker(packed: BinaryIO) -> _Stream:
    start = packed.read(4)
    packed.seek(0)
    if start[:3] == b"BZh":
        return bz2.BZ2File(packed)
    if start[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=packed)
    if start == _ZSTD:
        return cast("_Stream", zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True))
    return packed


def _blocks(path: Path, packed: BinaryIO) -> Iterator[bytes]:
    """Raises DumpError for what is damaged."""
    stream = _unpacker(packed)
    try:
        while block := stream.read(BLOCK_BYTES):
            yield block
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise DumpError(f"{path} is damaged or not whole before byte {packed.tell()}: {error}") from None


def _head(path: Path) -> bytes:
    start = b""
    with path.open("rb") as packed:
        for block in _blocks(path, packed):
            start += block
            if (end := start.find(END_OF_HEAD)) >= 0:
                return start[: end + len(END_OF_HEAD)]
            if len(start) > MAX_HEAD_BYTES:
                break
    raise DumpError(f"{path} is no dump of a wiki: there is no <siteinfo> at its beginning")


def _chunks(dump: Dump, since: int, chunk_bytes: int) -> Iterator[Piece]:
    name = str(dump.path)
    begin = max(since, dump.first)
    with dump.path.open("rb") as packed:
        waiting = bytearray()
        seen = looked_at = 0
        for block in _blocks(dump.path, packed):
            seen += len(block)
            if seen <= begin:
                continue
            waiting += block if waiting else block[len(block) - (seen - begin) :]
            if len(waiting) < chunk_bytes:
                continue
            cut = waiting.rfind(_END_OF_PAGE, max(0, looked_at - len(_END_OF_PAGE)))
            if cut >= 0:
                cut += len(_END_OF_PAGE)
                yield Piece(name, begin, begin + cut, packed.tell(), bytes(waiting[:cut]))
                del waiting[:cut]
                begin += cut
            elif len(waiting) > MAX_PAGE_BYTES:
                raise DumpError(
                    f"{name}: the page at byte {begin} of the XML has more than {MAX_PAGE_BYTES >> 20} MB; "
                    "take a dump of current revisions (`pages-articles`)"
                )
            looked_at = len(waiting)
        yield Piece(name, begin, begin + len(waiting), dump.size_bytes, bytes(waiting), is_last=True)
