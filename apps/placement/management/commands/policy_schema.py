"""``manage.py policy_schema --file docs/policy.schema.json``: the JSON Schema of policies, for editors."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.placement.policy.language import policy_schema


class Command(BaseCommand):
    """Write what an editor checks a policy with."""

    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, required=True, help="file to write")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        file.write_text(json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n")
