"""``manage.py ensure_policies``: the policies that come with Cloudsite, as rows."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.placement.policies import policies_ensure


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{policies_ensure()} policies added or changed")
