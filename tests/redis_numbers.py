"""Which database of a Redis a URL names, and which ones are a cloud's own."""

from urllib.parse import parse_qs, urlsplit

REDIS_DATABASES = 48  # those of the clouds begin here, beyond those of the parallel test processes


def redis_of_a_cloud(url: str) -> str:
    """Two databases of the session's Redis that no other test uses, nor the cloud of another test process."""
    return redis_url(url, REDIS_DATABASES + redis_number(url))


def redis_number(url: str) -> int:
    """Which database a URL names."""
    parts = urlsplit(url)
    return int(parse_qs(parts.query)["db"][0] if parts.scheme == "unix" else parts.path.strip("/") or 0)


def redis_url(url: str, number: int) -> str:
    """The same Redis, another database."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}?db={number}"
    return parts._replace(path=f"/{number}").geturl()
