"""Several management commands in one process, so that a start pays for loading Django once.

Runs in the installation's virtual environment as the service user. The argument is a JSON list of commands,
each a list of words; the last line of the output is a JSON object with what every command printed and the
installation id.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import django
from django.apps import apps
from django.core.management import call_command


def main(argument: str) -> None:
    django.setup()
    result: dict[str, Any] = {}
    for name, *words in json.loads(argument):
        output = io.StringIO()
        print(f"{name} {' '.join(words)}".rstrip(), flush=True)
        call_command(name, *words, stdout=output)
        result[name] = output.getvalue().strip()
    result["installation"] = installation_id()
    print(json.dumps(result), flush=True)


def installation_id() -> str:
    """The eight hex digits in the names of everything of ours on a host; empty before the first migration."""
    model = apps.get_model("hosts", "Installation")
    return str(model._default_manager.values_list("pk", flat=True).first() or "")


if __name__ == "__main__":
    main(sys.argv[1])
