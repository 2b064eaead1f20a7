"""The users' passwords: a file each, its owner's alone, fit for `log.security.password_file`.

    begin    DIR/.USER.new is written, and on the disk
    (the user gets that password on the cluster)
    finish   it becomes DIR/USER

Whoever finds a begun one knows that the cluster may have either; setting it again is always right.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from streamer.config import read_text
from streamer.errors import ConfigError
from streamer.provision.plan import Kept

SECRET_BYTES: Final = 24
"""192 random bits; at least 160 are promised."""
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


class Passwords:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def kept(self, users: tuple[str, ...]) -> Kept:
        """Raises ConfigError where it can't be looked into."""
        try:
            names = {path.name for path in self._folder.iterdir()} if self._folder.exists() else set()
        except OSError as error:
            raise self._error(error) from None
        return Kept(
            frozenset(user for user in users if user in names),
            frozenset(user for user in users if self._begun(user).name in names),
        )

    def check(self) -> None:
        """Raises ConfigError where no password may be put here."""
        try:
            mode = self._folder.stat().st_mode & 0o777 if self._folder.exists() else FOLDER_MODE
        except OSError as error:
            raise self._error(error) from None
        if mode & 0o077:
            raise ConfigError(
                str(self._folder),
                f"others may look into it (mode {mode:o}): `chmod 700` it, or name another by --secrets",
            )

    def begin(self, user: str, *, is_new: bool) -> str:
        """The password that the user is to get: the one that lies here, begun before done; else, or with
        `is_new`, a random one.
        """
        password = "" if is_new else self._found(user)
        if password and self._begun(user).exists():
            return password
        password = password or secrets.token_urlsafe(SECRET_BYTES)
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self._begun(user).unlink(missing_ok=True)  # so that its mode is ours
            descriptor = os.open(self._begun(user), os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(password + "\n")
                out.flush()
                os.fsync(out.fileno())
            self._sync()
        except OSError as error:
            raise self._error(error) from None
        return password

    def finish(self, user: str) -> None:
        """The user has it."""
        try:
            self._begun(user).replace(self._folder / user)
            self._sync()
        except OSError as error:
            raise self._error(error) from None

    def forget(self, user: str) -> str:
        """What became of it, in words."""
        found = False
        for path in (self._folder / user, self._begun(user)):
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._error(error) from None
            found = True
        if found:
            return f"remove password {self._folder / user}"
        return f"note   no password of {user} is in {self._folder}: where it lies elsewhere, delete it there"

    def _begun(self, user: str) -> Path:
        return self._folder / f".{user}.new"

    def _found(self, user: str) -> str:
        for path in (self._begun(user), self._folder / user):
            if path.exists():
                return read_text(path).strip()  # one that a crash left empty is made anew
        return ""

    def _sync(self) -> None:
        directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _error(self, error: OSError) -> ConfigError:
        return ConfigError(str(self._folder), f"passwords can't be kept there: {error.strerror}")
