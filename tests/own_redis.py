"""Two Redis databases for each parallel test process: one for the broker, one for the cache.

Loaded with ``-p`` (``pyproject.toml``), since a ``conftest.py`` comes too late: pytest-django has read the
settings by then.
"""

import os
from urllib.parse import parse_qs, urlsplit


def redis_url(url: str, number: int) -> str:
    """The same Redis, another database."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}?db={number}"
    return parts._replace(path=f"/{number}").geturl()


def redis_number(url: str) -> int:
    """Which database a URL names."""
    parts = urlsplit(url)
    return int(parse_qs(parts.query)["db"][0] if parts.scheme == "unix" else parts.path.strip("/") or 0)


def own_redis() -> None:
    """Change ``REDIS_URL`` before Django reads its settings."""
    given = os.environ.get("REDIS_URL")
    if given is not None:
        process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        os.environ["REDIS_URL"] = redis_url(given, 2 * process)


own_redis()
