"""Certificates as they are found: how long they hold, and what is wrong with them before a client sees it."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.certificates import RSA, Pair, self_signed
from hypothesis import given
from hypothesis import strategies as st

from streamer.check.delivery import delivery_of
from streamer.config import DeliverSettings, Settings
from streamer.deliver.certificate import validity_of
from streamer.deliver.tls import read_certificate
from streamer.errors import ConfigError


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("certificate"))


def settings_of(pair: Pair) -> DeliverSettings:
    return DeliverSettings(certificate=str(pair.certificate), private_key=str(pair.private_key))


@pytest.mark.parametrize("days", [30, 36_500])  # the second is past 2049, and written otherwise
def test_the_validity_is_openssls(tmp_path: Path, days: int) -> None:
    """Of the first certificate of a chain, whatever text stands before it."""
    pair = self_signed(tmp_path, days=days)
    command = ["openssl", "x509", "-in", str(pair.certificate), "-noout", "-dates"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    wanted = [
        datetime.strptime(line.partition("=")[2], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
        for line in said.splitlines()
    ]
    pem = pair.certificate.read_text()
    other = self_signed(tmp_path, "other", days=1).certificate.read_text()
    assert list(validity_of(f"Some words\n{pem}\n{other}")) == wanted


@given(at=st.integers(0, 2_000), byte=st.binary(min_size=1, max_size=3))
def test_a_broken_certificate_is_a_value_error(pair: Pair, at: int, byte: bytes) -> None:
    """Or is read; never anything else."""
    pem = pair.certificate.read_bytes()
    broken = (pem[:at] + byte + pem[at + len(byte) :]).decode("latin-1")
    try:
        validity_of(broken)
    except ValueError as error:
        assert str(error).startswith("holds ")  # noqa: PT017 - it may also be fine


def test_each_wrong_file_is_named_by_its_setting(tmp_path: Path, pair: Pair) -> None:
    """Which of the two, and what about it; an encrypted key is not asked a password for at the terminal."""
    other, rsa = self_signed(tmp_path, "other"), self_signed(tmp_path, "rsa", key=RSA)
    encrypted = tmp_path / "encrypted.pem"
    command = ["openssl", "pkey", "-in", str(pair.private_key), "-aes256", "-passout", "pass:secret"]
    subprocess.run([*command, "-out", str(encrypted)], check=True, capture_output=True, timeout=20)
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"\xff")
    garbled = tmp_path / "garbled.pem"
    garbled.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    certificate, key = pair.certificate, pair.private_key
    for cert, private, where, problem in [
        (tmp_path / "nowhere", key, "certificate", "No such file or directory"),
        (certificate, tmp_path / "nowhere", "private_key", "No such file or directory"),
        (tmp_path, key, "certificate", "Is a directory"),
        (empty, key, "certificate", "holds no PEM certificate"),
        (key, certificate, "certificate", "holds no PEM certificate"),
        (garbled, key, "certificate", "holds a certificate that can't be read"),
        (certificate, certificate, "private_key", "holds no PEM private key"),
        (certificate, encrypted, "private_key", "that can be read without a password"),
        (certificate, other.private_key, "private_key", "does not belong to"),
        (certificate, rsa.private_key, "private_key", "does not belong to"),
        (rsa.certificate, key, "private_key", "does not belong to"),
    ]:
        with pytest.raises(ConfigError) as caught:
            read_certificate(DeliverSettings(certificate=str(cert), private_key=str(private)))
        assert caught.value.where == f"deliver.{where}"
        assert problem in caught.value.problem


def test_check_says_when_it_expires(pair: Pair) -> None:
    """Fine, soon, over, not yet: two weeks before the end a renewal has failed."""
    settings = Settings(deliver=settings_of(pair))
    _, validity = read_certificate(settings.deliver)
    second, day = timedelta(seconds=1), timedelta(days=1)
    for when, level, text in [
        (validity.begins - second, "PROBLEM", "is not valid before"),
        (validity.begins, "ok", "is valid until"),
        (validity.ends - 14 * day, "ok", "is valid until"),
        (validity.ends - 14 * day + second, "warning", "expires soon"),
        (validity.ends, "PROBLEM", "has expired"),
    ]:
        found, _ = delivery_of(settings, when)
        assert (found.level, text in found.text) == (level, True), found
        assert found.text.startswith("deliver.certificate: ")


def test_check_says_what_would_stop_the_start(tmp_path: Path) -> None:
    """An open bind, a certificate that is not there, a secret that is none or out of reach: by its key."""
    short = tmp_path / "short"
    short.write_text("x" * 31 + "\n")
    same = tmp_path / "same"
    same.write_text("x" * 64)
    for deliver, where in [
        (DeliverSettings(host="0.0.0.0"), "deliver.host"),
        (DeliverSettings(certificate="nowhere", private_key="nowhere"), "deliver.certificate"),
        (DeliverSettings(ticket_secret_file=str(short)), "deliver.ticket_secret_file"),
        (DeliverSettings(ticket_secret_file=str(short / "x")), "deliver.ticket_secret_file"),
        (DeliverSettings(ticket_secret_file=str(same)), "deliver.ticket_secret_file"),
        (
            DeliverSettings(ticket_secret_file="nowhere", ticket_secret="xy" * 16),
            "deliver.ticket_secret_file",
        ),
    ]:
        problems = [
            finding for finding in delivery_of(Settings(deliver=deliver)) if finding.level == "PROBLEM"
        ]
        assert [finding.text.partition(":")[0] for finding in problems] == [where]
        assert "xxx" not in problems[0].text
    short.write_text("xy" * 16)
    for deliver in (DeliverSettings(), DeliverSettings(ticket_secret_file=str(short))):
        assert [finding.level for finding in delivery_of(Settings(deliver=deliver))] == ["ok"]
