"""``manage.py ensure_certificates``: the CA, the web server's certificate, and what we show to hosts."""

import socket
from typing import Any

from django.core.management.base import BaseCommand

from apps.hosts import certificates


def own_addresses() -> list[str]:
    """Names and addresses under which this machine is reached: loopback, its name, its default route's address."""
    names = ["localhost", "127.0.0.1"]
    hostname = socket.gethostname()
    if hostname.isascii() and hostname not in names:
        names.append(hostname)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; asks which address a packet would leave from
            names.append(probe.getsockname()[0])
        except OSError:
            pass
    return list(dict.fromkeys(names))


class Command(BaseCommand):
    help = "Make the certificates and keys of this installation where they are missing or about to expire."

    def handle(self, *args: Any, **options: Any) -> None:
        certificates.ca_ensure()
        names = own_addresses()
        certificates.web_certificate_ensure(names=names)
        certificates.ingest_certificate_ensure(names=names)
        certificates.backend_certificate_ensure()
        certificates.client_certificate_ensure()
        certificates.ssh_key_ensure()
