"""Style sheets and scripts under addresses that change with their content: after an update no browser shows a new page
with an old script."""

import functools
import hashlib
from pathlib import Path

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage


class Versioned(StaticFilesStorage):
    """Names stay as they are; a digest of the content follows as a query, which the server of the file ignores.

    No manifest has to be made first, so tests and management commands see the same addresses.
    """

    def url(self, name: str | None) -> str:
        plain: str = super().url(name)
        version = _version(name or "")
        return f"{plain}?v={version}" if version else plain


@functools.cache
def _version(name: str) -> str:
    """Read once in the life of a process: an update restarts it."""
    found = finders.find(name)
    path = Path(found) if isinstance(found, str) else None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path is not None and path.is_file() else ""
