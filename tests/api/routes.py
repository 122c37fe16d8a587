"""What the URL resolver knows."""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

METHODS = ("get", "post", "put", "patch", "delete")


def _patterns(found: list[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for item in found:
        path = prefix + str(item.pattern)
        if isinstance(item, URLResolver):
            if item.app_name != "admin":
                yield from _patterns(item.url_patterns, path)
        else:
            yield path, item


def _plain(path: str) -> str:
    """``vms/<uuid:vm_id>/`` as ``vms/{vm_id}/``."""
    return path.replace("<uuid:", "{").replace(">", "}")


def api_routes() -> set[tuple[str, str]]:
    """Every route below ``/api/v1/`` with each method that its view has."""
    found = set()
    for path, pattern in _patterns(get_resolver().url_patterns):
        if path.startswith("api/v1/"):
            view: Any = pattern.callback
            found |= {
                (_plain(path).removeprefix("api/v1/"), method) for method in METHODS if hasattr(view.view_class, method)
            }
    return found


def page_routes() -> set[str]:
    """Every path that is neither the API's nor the admin's."""
    return {_plain(path) for path, _pattern in _patterns(get_resolver().url_patterns) if not path.startswith("api/")}
