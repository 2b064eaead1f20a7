"""Certificates that last a test, made by the openssl command."""

import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Pair:
    certificate: Path
    private_key: Path

    def trusting(self) -> ssl.SSLContext:
        """A client that trusts this certificate and no other, for localhost."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def replace(self, other: "Pair") -> None:
        """As a renewal does: other files under the same names."""
        other.certificate.replace(self.certificate)
        other.private_key.replace(self.private_key)


EC = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
RSA = ("rsa:2048",)


def self_signed(folder: Path, name: str = "server", *, days: int = 30, key: Sequence[str] = EC) -> Pair:
    """Of localhost and 127.0.0.1. Skips the test where there is no openssl."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}-key.pem")
    command = ["openssl", "req", "-x509", "-newkey", *key]
    command += ["-nodes", "-keyout", str(pair.private_key), "-out", str(pair.certificate)]
    command += ["-days", str(days), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    return pair
