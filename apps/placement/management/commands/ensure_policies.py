"""``manage.py ensure_policies``: the policies that come with Cloudsite, and those of a directory, as rows."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.placement.policies import policies_ensure
from apps.placement.policy_files import policy_files_read


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        shipped, files = policies_ensure(), policy_files_read(settings.POLICY_DIR)
        self.stdout.write(f"{shipped + files.changed} policies added or changed")
        if files.problems:
            raise CommandError("\n".join(files.problems))
