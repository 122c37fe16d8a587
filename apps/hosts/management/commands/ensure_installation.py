"""``manage.py ensure_installation``: the installation's identity, without adding this machine as a host."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.hosts.services import installation_ensure


class Command(BaseCommand):
    help = "Give the installation its identity."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(installation_ensure())
