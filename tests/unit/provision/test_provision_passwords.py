"""Where the passwords of new users are kept."""

from pathlib import Path

import pytest

from streamer.errors import ConfigError
from streamer.provision.passwords import Passwords
from streamer.provision.plan import Kept

USERS = ("acme", "beta")


def test_a_password_is_its_owners_alone(tmp_path: Path) -> None:
    """At least 160 random bits, in a file that nobody else may read, in a folder that nobody else may look
    into.
    """
    folder = tmp_path / "deep" / "secrets"
    passwords = Passwords(folder)
    assert passwords.kept(USERS) == Kept()
    password = passwords.begin("acme", is_new=False)
    assert len(password) * 6 >= 160
    assert passwords.kept(USERS) == Kept(begun=frozenset({"acme"}))
    passwords.finish("acme")
    assert passwords.kept(USERS) == Kept(done=frozenset({"acme"}))
    assert (folder / "acme").read_text().strip() == password
    assert (folder / "acme").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert passwords.begin("beta", is_new=False) != password


def test_what_was_begun_is_what_is_finished(tmp_path: Path) -> None:
    """After an end in between the same password is set again: the cluster may have it already. One that is
    done is given to a user that is made anew; only a wish for a new one makes another.
    """
    folder = tmp_path / "secrets"
    first = Passwords(folder).begin("acme", is_new=False)
    assert Passwords(folder).begin("acme", is_new=False) == first
    Passwords(folder).finish("acme")
    assert Passwords(folder).begin("acme", is_new=False) == first
    Passwords(folder).finish("acme")
    second = Passwords(folder).begin("acme", is_new=True)
    assert second != first
    assert (folder / "acme").read_text().strip() == first, "the one in force stays until the other is"
    assert Passwords(folder).begin("acme", is_new=False) == second


def test_a_file_that_a_crash_left_empty_is_no_password(tmp_path: Path) -> None:
    """An empty one would be a user without a password."""
    tmp_path.chmod(0o700)
    (tmp_path / ".acme.new").touch()
    assert Passwords(tmp_path).begin("acme", is_new=False)


def test_an_open_folder_is_refused(tmp_path: Path) -> None:
    """Others could read what is put there."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="others may look into it"):
        Passwords(folder).check()
    folder.chmod(0o700)
    Passwords(folder).check()


def test_what_cannot_be_kept_is_told_by_name(tmp_path: Path) -> None:
    """A file where the folder should be is an error of the command line, not a traceback."""
    (tmp_path / "secrets").touch()
    with pytest.raises(ConfigError, match="can't be kept there"):
        Passwords(tmp_path / "secrets").kept(USERS)
    with pytest.raises(ConfigError, match="can't be kept there"):
        Passwords(tmp_path / "secrets").begin("acme", is_new=False)


def test_forgetting_leaves_the_others(tmp_path: Path) -> None:
    """A partner that comes again under its old name doesn't get its old password. Where none was found, it is
    told where it was looked for.
    """
    passwords = Passwords(tmp_path / "secrets")
    for user in USERS:
        passwords.begin(user, is_new=False)
        passwords.finish(user)
    passwords.begin("acme", is_new=True)
    assert passwords.forget("acme") == f"remove password {tmp_path / 'secrets' / 'acme'}"
    assert f"no password of nobody is in {tmp_path / 'secrets'}" in passwords.forget("nobody")
    assert passwords.kept(USERS) == Kept(done=frozenset({"beta"}))
