"""A certificate authority for one afternoon, and the brokers' certificate from it: by Java's own keytool."""

import asyncio
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DAYS: Final = "30"
SUBJECT: Final = "CN=broker"
"""The principal of a broker, to another's controller."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """PKCS12 stores under one password, and the authority's certificate as clients want it."""

    key_store: Path
    trust_store: Path
    ca_file: Path
    password: str

    @classmethod
    async def make(cls, folder: Path, keytool: str, password: str) -> "Certificates":
        """Valid for 127.0.0.1 and localhost."""
        folder.mkdir()
        authority, made = (
            folder / "ca.p12",
            cls(folder / "broker.p12", folder / "trust.p12", folder / "ca.pem", password),
        )

        async def run(store: Path, *arguments: str, stdin: bytes = b"") -> bytes:
            process = await asyncio.create_subprocess_exec(
                keytool, *arguments, "-keystore", str(store), "-storetype", "PKCS12",
                "-storepass", password, stdin=PIPE, stdout=PIPE, stderr=PIPE,
            )  # fmt: skip
            out, errors = await process.communicate(stdin)
            if process.returncode:
                raise RuntimeError(f"keytool {arguments[0]}: {(out + errors).decode().strip()}")
            return out

        key = ("-keyalg", "EC", "-groupname", "secp256r1", "-validity", DAYS)
        await run(authority, "-genkeypair", "-alias", "ca", "-dname", "CN=streamer test CA",
                  "-ext", "bc:c=ca:true", "-ext", "ku:c=keyCertSign", *key)  # fmt: skip
        ca = await run(authority, "-exportcert", "-rfc", "-alias", "ca")
        made.ca_file.write_bytes(ca)
        await run(made.key_store, "-genkeypair", "-alias", "broker", "-dname", SUBJECT, *key)
        request = await run(made.key_store, "-certreq", "-alias", "broker")
        signed = await run(authority, "-gencert", "-rfc", "-alias", "ca", "-validity", DAYS,
                           "-ext", "san=ip:127.0.0.1,dns:localhost", stdin=request)  # fmt: skip
        for store, alias, certificate in (
            (made.trust_store, "ca", ca),
            (made.key_store, "ca", ca),
            (made.key_store, "broker", signed),
        ):
            await run(store, "-importcert", "-noprompt", "-alias", alias, stdin=certificate)
        return made
