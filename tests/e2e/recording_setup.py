"""The three partners of the recording, and the service pointed at it."""

import hashlib
from pathlib import Path

KEYS = {name: f"wrs_test_key_of_{name}" for name in ("everything", "words", "humans")}
RULES = {
    "everything": 'content = ["wikitext"]',
    "words": 'wikis = ["enwiki", "*wiktionary"]\nnamespaces = [0]\nkinds = ["create", "edit"]\n'
    'content = ["wikitext", "text"]\nfields = ["name", "version.identifier", "article_body.wikitext"]',
    "humans": "namespaces = [0, 1]\nbots = false\nminor = false\nmin_size = 1000",
}


def write_partners(file: Path) -> None:
    file.write_text(
        "\n".join(
            f'[{name}]\nkeys = ["sha256:{hashlib.sha256(key.encode()).hexdigest()}"]\n{RULES[name]}\n'
            for name, key in KEYS.items()
        ),
        encoding="utf-8",
    )


def config(recording: Path, endpoint: str, *, speed: str, port: int = 0) -> str:
    """All roles on the local log, fed by the recording, asking the sandbox that answers for it."""
    return f"""
[source]
url = "file:{recording}"
streams = ["recentchange"]
speed = "{speed}"
[mediawiki]
endpoint = "{endpoint}"
requests_per_minute = 6000
[log]
path = "streamer.db"
[deliver]
port = {port}
admin_port = 0
heartbeat_s = 1
"""
