"""The web process: pages, API and admin; WebSockets are passed on to the console process."""

import os
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudsite.settings")
# Under ASGI a request has no thread of its own that could keep a connection, so the web process pools them. Not
# the workers: a pool does not survive their forks.
options: Any = settings.DATABASES["default"]["OPTIONS"]
options["pool"] = {"min_size": 0, "max_size": 12, "timeout": 5.0, "reconnect_timeout": 1.0}
django_application = get_asgi_application()

from cloudsite.body_limit import BodyLimit  # noqa: E402  # imports DRF, which needs Django set up
from cloudsite.consoles import Consoles  # noqa: E402
from cloudsite.uploads import UploadBody, is_upload  # noqa: E402  # the same


def most_of(scope: Any) -> int:
    """The largest body that a request may have."""
    most: int = settings.UPLOAD_LIMIT_BYTES if is_upload(scope) else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return most


application = Consoles(BodyLimit(UploadBody(django_application), most_of=most_of))
