"""The console process: ``uvicorn console.asgi:application --uds <state>/run/console.sock``."""

import os
from typing import Any

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudsite.settings")
# The threads that ask PostgreSQL share a few connections, as in the web process.
options: Any = settings.DATABASES["default"]["OPTIONS"]
options["pool"] = {"min_size": 0, "max_size": 8, "timeout": 5.0, "reconnect_timeout": 1.0}
django.setup()

from console.gateway import Gateway  # noqa: E402  # Django must be set up before models are imported

application = Gateway()
