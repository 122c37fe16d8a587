"""``docs/settings.md`` from the settings model, so that the list cannot fall behind the code."""

from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cloudsite.config import Config

HEADER = """\
# Settings

<!-- Generated from cloudsite/config.py by `make generate`; do not edit. -->

Every setting is an environment variable. Set it for the command that starts Cloudsite:

```sh
CLOUDSITE_PORT=8500 CLOUDSITE_LAN=off make run
```

`make service` keeps what was set when it ran in `service.env` in the state directory; run it again to change something.
A wrong value stops the start with a sentence that names the variable.

Only the two keys are kept by `make run` itself: in `settings.env` in the state directory, mode 0600, made at the first
start. A key that is set in the environment wins.

The state directory is `/var/lib/cloudsite` for root and `~/.local/state/cloudsite` (or below `XDG_STATE_HOME`) for
everybody else.

## Settings of an installation

| variable | values | default | meaning |
|---|---|---|---|
"""

START = """
## Only for the commands

These are read by `make run` and the other commands, before anything else runs.

| variable | values | default | meaning |
|---|---|---|---|
| `CLOUDSITE_IMAGE` | `on`, `off` | `on` | Whether a start fetches or builds the image `debian-12`. |
| `CLOUDSITE_YES` | `1` | not set | Answers the question of `make run`, `make service` and `make uninstall` with yes. |

## Two installations on one machine

Give the second one its own state directory and ports:

```sh
CLOUDSITE_STATE_DIR=/var/lib/cloudsite-two CLOUDSITE_PORT=8421 CLOUDSITE_LAN_PORT=8444 make run
```

Each has its own PostgreSQL, Redis, keys and network, and leaves the other's virtual machines alone.
"""

NOT_SET = {
    "secret_key": "made at the first start",
    "jwt_key": "made at the first start",
    "database_url": "a private server",
    "redis_url": "a private server",
}
"""What happens without a value, for fields that the processes need and a start fills in."""


def settings_page() -> str:
    """The whole page as Markdown."""
    rows = [_row(name, field) for name, field in Config.model_fields.items()]
    return HEADER + "".join(rows) + START


def _row(name: str, field: FieldInfo) -> str:
    variable = field.validation_alias or f"CLOUDSITE_{name.upper()}"
    return f"| `{variable}` | {_values(field)} | {_default(name, field)} | {field.description} |\n"


def _values(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind is bool:
        return "`true`, `false`"
    if kind in (int, float):
        return _range(field)
    return "secret" if SecretStr in (kind, *get_args(kind)) else "text"


def _range(field: FieldInfo) -> str:
    """The bounds as words; ``gt`` is the only open one in use."""
    bounds = {
        name: getattr(item, name) for item in field.metadata for name in ("ge", "gt", "le") if hasattr(item, name)
    }
    low = f"above {bounds['gt']}" if "gt" in bounds else f"from {bounds.get('ge', 0)}"
    return f"{low} to {bounds['le']}" if "le" in bounds else low


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return NOT_SET[name]
    value = field.default
    if value is None or value == "":
        return "not set"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
