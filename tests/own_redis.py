"""Two Redis databases for each parallel test process: one for the broker, one for the cache.

Loaded with ``-p`` (``pyproject.toml``), since a ``conftest.py`` comes too late: pytest-django has read the
settings by then.
"""

import os
from urllib.parse import urlsplit


def own_redis() -> None:
    """Change ``REDIS_URL`` before Django reads its settings."""
    given = os.environ.get("REDIS_URL")
    if given is None:
        return
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    url = urlsplit(given)
    if url.scheme == "unix":
        os.environ["REDIS_URL"] = f"unix://{url.path}?db={2 * number}"
    else:
        os.environ["REDIS_URL"] = url._replace(path=f"/{2 * number}").geturl()


own_redis()
