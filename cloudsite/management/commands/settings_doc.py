"""``manage.py settings_doc --file docs/settings.md``: the list of settings."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from cloudsite.settings_doc import settings_page


class Command(BaseCommand):
    """Write the page that documents every setting."""

    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, required=True, help="file to write")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        file.write_text(settings_page())
