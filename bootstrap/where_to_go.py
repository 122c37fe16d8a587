"""The last thing a start prints: addresses, fingerprint, who signs in, what next."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from bootstrap.process_table import lan_address
from bootstrap.settings import Settings


def where_to_go(settings: Settings, *, admin: str, service: str = "") -> str:
    """A few lines for the console.

    :param admin: what the command that makes the first admin printed; empty when there was one.
    :param service: the name of the systemd units, where these run it.
    """
    lines = [f"  On this machine     http://{_literal(settings.bind)}:{settings.port}/"]
    address = lan_address() if settings.lan_open else None
    if address is not None:
        lines.append(f"  From the network    https://{_literal(address)}:{settings.lan_port}/")
        certificate = settings.pki_dir / "ca.crt"
        if settings.tls_cert is None and certificate.exists():
            lines.append(f"                      certificate authority {certificate}")
            lines.append(f"                      SHA-256 {fingerprint(certificate)}")
    elif settings.lan_open:
        lines.append("  From the network    no network address found, so only this machine can reach it")
    lines += [f"  Sign in             {line}" for line in admin.splitlines() if line.strip()]
    if service:
        lines.append(f"  Logs                journalctl --follow --unit '{service}*'")
        lines.append(f"  Stop                systemctl stop {service}.target; virtual machines run on")
    else:
        lines.append("  Logs                make logs")
        lines.append("  Stop                Ctrl-C here (or make stop); virtual machines run on")
    return "\n".join(lines)


def _literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def fingerprint(certificate: Path) -> str:
    """As browsers and ``openssl x509 -fingerprint -sha256`` show it."""
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[index : index + 2] for index in range(0, len(digest), 2))
