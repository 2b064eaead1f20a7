"""Whether there is a MediaWiki here, and what to install where there is none."""

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Final

CODE: Final = Path("/usr/share/mediawiki")
"""Where Debian's package puts it."""
VERSION: Final = "1.39."
"""Debian 12's: hooks, tables and answers are this one's."""
EXTENSIONS: Final = {"pdo_sqlite": "sqlite3", "mbstring": "mbstring", "xml": "xml", "intl": "intl"}
"""PHP's name of each extension that is needed, and the end of its package's name."""


@lru_cache(maxsize=1)
def missing() -> tuple[str, ...]:
    """Debian's packages that a wiki lacks here."""
    php = shutil.which("php")
    names = [] if (CODE / "api.php").exists() else ["mediawiki"]
    if php is None:
        names += ["php-cli", *(f"php-{package}" for package in EXTENSIONS.values())]
    else:
        answer = subprocess.run([php, "-m"], capture_output=True, text=True, timeout=30, check=False)
        loaded = set(answer.stdout.lower().split())
        names += [f"php-{package}" for name, package in EXTENSIONS.items() if name not in loaded]
    if shutil.which("setpriv") is None:
        names.append("util-linux")
    return tuple(names)


def absent() -> str:
    """Why no wiki can be started, with the command that helps; "" where one can."""
    if not missing():
        defines = (CODE / "includes/Defines.php").read_text("utf-8")
        return "" if f"'MW_VERSION', '{VERSION}" in defines else f"another MediaWiki than {VERSION}"
    return f"no MediaWiki here: apt-get install --no-install-recommends {' '.join(missing())}"


if __name__ == "__main__":  # for the Makefile
    print(" ".join(missing()))
