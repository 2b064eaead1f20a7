"""The first sentence of a life in the Italian Wikipedia, which its template `Bio` writes: half a million
articles have no other.
"""

import re
from typing import Final

from consumers.wikitext.templates import Arguments

_VOWEL: Final = re.compile(r"[aeiouàèéìòù]", re.IGNORECASE)
_UNO: Final = re.compile(r"(?:z|x|y|gn|ps|pn|s[^aeiouàèéìòù])", re.IGNORECASE)


def bio_of(args: Arguments) -> str:
    """`Ida Moss (Steinbrück, 3 maggio 1901 - Larkhaven, 1980) è stata una scrittrice norrena.`"""
    get = args.named.get
    name = " ".join(filter(None, (get("Titolo"), get("Nome"), get("Cognome"), get("PostCognome"))))
    if not name:
        return ""
    if called := get("PostCognomeVirgola"):
        name += f", {called}"
    born = _when(args, "Nascita")
    died = _when(args, "Morte")
    dates = f"{born or '…'} \u2013 {died}" if died else born
    dates = "; ".join(filter(None, (get("PreData"), dates)))
    end = get("FineIncipit") or _is_what(args, is_dead=bool(died))
    said = f"{name} ({dates})" if dates else name
    return f"{said}{end if end[:1] in ',.' else ' ' + end}".rstrip(" .") + "."


def _when(args: Arguments, of: str) -> str:
    get = args.named.get
    day, year = get(f"GiornoMese{of}", ""), get(f"Anno{of}", "")
    if year == "?":
        year = "…"
    place = get(f"Luogo{of}Alt") or get(f"Luogo{of}", "")
    return ", ".join(filter(None, (place, f"{day} {year}".strip())))


def _is_what(args: Arguments, *, is_dead: bool) -> str:
    get = args.named.get
    whats = [what for what in (get("Attività"), get("Attività2"), get("Attività3")) if what]
    if not whats:
        return ""
    is_woman = get("Sesso", "").upper() == "F"
    first = whats[0]
    if is_woman:
        article = "un'" if _VOWEL.match(first) else "una "
    else:
        article = "uno " if _UNO.match(first) else "un "
    is_so = f"è {'stata' if is_woman else 'stato'}" if is_dead else "è"
    rest = f"{', '.join(whats[:-1])} e {whats[-1]}" if len(whats) > 1 else first
    other = get("AttivitàAltre", "")
    nation = get("Nazionalità", "")
    after = get("PostNazionalità", "")
    return f"{is_so} {article}{rest}{other} {nation}".rstrip() + after
