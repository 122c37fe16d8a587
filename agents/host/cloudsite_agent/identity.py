"""Who is at the other end: certificates of one authority, and the role that a certificate names."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INGEST = "urn:cloudsite:ingest"
BACKEND = "urn:cloudsite:backend"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Files, which are read anew for each connection: a renewed certificate needs no restart."""

    ca: Path
    certificate: Path
    key: Path

    def stamp(self) -> tuple[int, ...]:
        """Changes when one of the files does. :raises OSError: when one is missing."""
        return tuple(path.stat().st_mtime_ns for path in (self.ca, self.certificate, self.key))

    def client(self) -> ssl.SSLContext:
        """To speak to the backend. Its role is checked by ``names``, not its address: only the backend has a
        certificate of our authority with that role, wherever it is reached.

        :raises OSError: also for files that hold no certificate.
        """
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def server(self) -> ssl.SSLContext:
        """To be asked by the backend. :raises OSError: also for files that hold no certificate."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _context(self, protocol: ssl._SSLMethod) -> ssl.SSLContext:
        """No system's authorities: a public certificate for the right name is still a stranger's."""
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context


def names(certificate: dict[str, Any] | None, role: str) -> bool:
    """Whether a certificate that was verified is for this role."""
    alternatives = (certificate or {}).get("subjectAltName", ())
    return ("URI", role) in alternatives
