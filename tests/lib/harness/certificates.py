# SPDX-License-Identifier: Apache-2.0
"""Certificates for TLS tests, made by openssl(1) for each run."""
import subprocess
from pathlib import Path
from typing import NamedTuple

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Certificate(NamedTuple):
    """Two files in PEM."""
    cert: Path
    key: Path


def _openssl(*words) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)


class Authority:
    """One that signs certificates, and those that it has signed, in a folder."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.cert, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        _openssl("req", "-x509", *NEW_KEY, "-keyout", self.key, "-out", self.cert, "-days", "2", "-subj", f"/CN={name}")

    def issue(self, name: str, subject: str = "IP:127.0.0.1", days: int = 2) -> Certificate:
        """A certificate for that alternative name; with negative days one that has expired."""
        cert, key, request = (self.folder / f"{self.name}-{name}.{kind}" for kind in ("crt", "key", "csr"))
        _openssl("req", "-new", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}",
                 "-addext", f"subjectAltName={subject}")
        _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-out", cert,
                 "-days", str(days), "-copy_extensions", "copy")
        return Certificate(cert, key)
