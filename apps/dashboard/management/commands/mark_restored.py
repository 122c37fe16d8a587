"""``manage.py mark_restored --made-at TIME``: called by ``make restore`` once the database is replaced."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.dashboard.services import installation_mark_restored


class Command(BaseCommand):
    help = "End what was under way when the backup was made, and say on the overview that it was restored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--made-at", type=datetime.fromisoformat, required=True, help="ISO 8601, with offset.")

    def handle(self, *args: Any, **options: Any) -> None:
        installation_mark_restored(made_at=options["made_at"])
