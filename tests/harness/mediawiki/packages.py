"""Whether there is a MediaWiki here, and what to install where there is none."""

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Final

CODE: Final = Path("/usr/share/mediawiki")
"""Where Debian's package puts it."""
EXTENSIONS: Final = {"pdo_sqlite": "sqlite3", "mbstring": "mbstring", "xml": "xml", "intl": "intl"}
"""PHP's name of each extension that is needed, and the end of its package's name."""


@lru_cache(maxsize=1)
def absent() -> str:
    """Why no wiki can be started, with the command that helps; "" where one can."""
    php = shutil.which("php")
    missing = [] if (CODE / "api.php").exists() else ["mediawiki"]
    if php is None:
        missing += ["php-cli", *(f"php-{package}" for package in EXTENSIONS.values())]
    else:
        answer = subprocess.run([php, "-m"], capture_output=True, text=True, timeout=30, check=False)
        loaded = set(answer.stdout.lower().split())
        missing += [f"php-{package}" for name, package in EXTENSIONS.items() if name not in loaded]
    if shutil.which("setpriv") is None:
        missing.append("util-linux")
    if not missing:
        return ""
    return f"no MediaWiki here: apt-get install --no-install-recommends {' '.join(missing)}"
