"""Parallel test processes do not share a Redis database: one would flush what the other has just written."""

import os

from django.conf import settings


def test_the_settings_were_read_after_the_database_was_chosen() -> None:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    assert settings.CONFIG.redis_database == 2 * number
    assert settings.CONFIG.redis_url == os.environ["REDIS_URL"]
