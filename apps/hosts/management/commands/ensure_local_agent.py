"""``manage.py ensure_local_agent``: certificate and configuration of the agent that measures this machine."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.hosts import certificates
from apps.hosts.models import Host, Transport


class Command(BaseCommand):
    help = "Let the agent of this machine report as the host that this machine is."

    def handle(self, *args: Any, **options: Any) -> None:
        directory = Path(settings.STATE_DIR) / "agent"
        host = Host.objects.filter(transport=Transport.LOCAL).first()
        if host is None:
            (directory / "agent.json").unlink(
                missing_ok=True
            )  # somebody removed it: its agent has nothing to report to
            return
        certificates.agent_certificate_ensure(host_id=host.pk, directory=directory)
        configuration = {
            "ingest": f"https://127.0.0.1:{settings.INGEST_PORT}",
            "ca": str(certificates.pki_dir() / "ca.crt"),
            "certificate": str(directory / "agent.crt"),
            "key": str(directory / "agent.key"),
            "state_dir": str(directory / "state"),
        }
        certificates.write_whole(directory / "agent.json", json.dumps(configuration, indent=1).encode(), mode=0o600)
