"""``manage.py ensure_local_host``: this machine as the first host, and the installation's identity."""

import socket
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from apps.hosts.services import host_local_ensure, installation_ensure


class Command(BaseCommand):
    help = "Give the installation its identity and make this machine its first host."

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            installation_ensure()
            host_local_ensure(hostname=socket.gethostname())
