"""``make check``: everything that can be said about the code without a virtual machine."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bootstrap import lock
from bootstrap.commands import CommandFailed, run
from bootstrap.console import say
from bootstrap.packages import postgres_bin
from bootstrap.settings import CODE_DIR

CHECK_SECONDS = 600.0
TYPED = (
    "bootstrap",
    "apps",
    "cloudsite",
    "console",
    "workers",
    "hypervisor",
    "imagebuild",
    "imagefile",
    "lab",
    "agents",
    "bench",
)
"""Everything that is written in Python and not a test; a directory that does not exist yet is left out."""
GENERATED: Mapping[str, Sequence[str]] = {
    "docs/openapi.yaml": ("spectacular", "--validate", "--fail-on-warn", "--file"),
    "docs/settings.md": ("settings_doc", "--file"),
    "docs/policy.schema.json": ("policy_schema", "--file"),
}
"""Files that a management command writes; the path is the command's last argument."""
FOREIGN_KEYS = "foreign_keys"
SCRATCH = "cloudsite_check"
Environment = Mapping[str, str]


class CheckFailed(Exception):
    """What is wrong, in words for whoever has to put it right."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One named check; the function raises ``CheckFailed`` or ``CommandFailed``."""

    name: str
    function: Callable[[Environment], None]


def tool(environment: Environment, *command: str) -> str:
    program = CODE_DIR / ".venv" / "bin" / command[0]
    return run([str(program), *command[1:]], timeout=CHECK_SECONDS, env=environment, cwd=CODE_DIR).stdout


def manage(environment: Environment, *arguments: str) -> str:
    return tool(environment, "python", "manage.py", *arguments)


def lint(environment: Environment) -> None:
    tool(environment, "ruff", "check", ".")


def layout(environment: Environment) -> None:
    tool(environment, "ruff", "format", "--check", ".")


def types(environment: Environment) -> None:
    tool(environment, "mypy", *(name for name in TYPED if (CODE_DIR / name).is_dir()))


def imports(environment: Environment) -> None:
    tool(environment, "lint-imports")


def foreign_keys(environment: Environment) -> None:
    """String foreign keys hide cycles from the import contracts; a test looks at the models themselves."""
    tests = [str(path.relative_to(CODE_DIR)) for path in (CODE_DIR / "tests").rglob(f"test_*{FOREIGN_KEYS}*.py")]
    if not tests:
        raise CheckFailed(f"There is no tests/**/test_{FOREIGN_KEYS}.py.")
    tool(environment, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)


def missing_migrations(environment: Environment) -> None:
    manage(environment, "makemigrations", "--check", "--dry-run")


def migrations_down_and_up(environment: Environment) -> None:
    """Every migration is taken back and done again; the schema afterwards is the same to the letter."""
    url = environment["DATABASE_URL"]
    scratch = {**environment, "DATABASE_URL": url.replace("/cloudsite?", f"/{SCRATCH}?")}
    _sql(url, f"DROP DATABASE IF EXISTS {SCRATCH}")
    _sql(url, f"CREATE DATABASE {SCRATCH}")
    try:
        manage(scratch, "migrate", "--verbosity", "0")
        before = _schema(scratch["DATABASE_URL"])
        there = [["migrate", label, "zero", "--verbosity", "0"] for label in our_apps(scratch)]
        commands = json.dumps([*there, ["migrate", "--verbosity", "0"]])
        tool(scratch, "python", "-m", "bootstrap.django_commands", commands)
        if _schema(scratch["DATABASE_URL"]) != before:
            raise CheckFailed("The schema after taking all migrations back and forth is not the one before.")
    finally:
        _sql(url, f"DROP DATABASE IF EXISTS {SCRATCH}")


def our_apps(environment: Environment) -> list[str]:
    """Labels of our own apps that have migrations, the ones that others stand on last."""
    listed = re.findall(r"^(\w+)$", manage(environment, "showmigrations", "--no-color"), re.MULTILINE)
    return [label for label in reversed(listed) if (CODE_DIR / "apps" / label / "migrations").is_dir()]


def _sql(url: str, statement: str) -> None:
    program = str(postgres_bin() / "psql")
    run([program, url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement], timeout=60)


def _schema(url: str) -> list[str]:
    """The schema without the order in which tables and columns came into being."""
    dump = run([str(postgres_bin() / "pg_dump"), "--schema-only", "--no-owner", url], timeout=60).stdout
    return sorted(line.rstrip(",") for line in dump.splitlines() if line and not line.startswith(("--", "\\")))


def locked_requirements(environment: Environment) -> None:
    problems = lock.stale(CODE_DIR / ".venv" / "bin" / "uv")
    if problems:
        raise CheckFailed("\n".join(problems))


def generated_files(environment: Environment) -> None:
    """What is generated is committed, and is what the code generates now."""
    target = CODE_DIR / ".venv" / "generated"
    for path, command in GENERATED.items():
        manage(environment, *command, str(target))
        current = CODE_DIR / path
        if not current.exists() or current.read_bytes() != target.read_bytes():
            raise CheckFailed(f"{path} is not what the code generates; `make generate` writes it.")


def generate(environment: Environment) -> int:
    """``make generate``: write every generated file."""
    for path, command in GENERATED.items():
        (CODE_DIR / path).parent.mkdir(parents=True, exist_ok=True)
        manage(environment, *command, path)
        say(f"wrote {path}")
    return 0


CHECKS = (
    Check(name="ruff", function=lint),
    Check(name="format", function=layout),
    Check(name="types", function=types),
    Check(name="import contracts", function=imports),
    Check(name="foreign keys", function=foreign_keys),
    Check(name="missing migrations", function=missing_migrations),
    Check(name="migrations down and up", function=migrations_down_and_up),
    Check(name="locked requirements", function=locked_requirements),
    Check(name="generated files", function=generated_files),
)


def run_all(environment: Environment, names: Sequence[str] = ()) -> int:
    """Run every check (or the ones whose name starts like one of these), and show what fails.

    The value is 0 only if none failed; one that fails does not keep the others from running.
    """
    failed = []
    for check in CHECKS:
        if names and not check.name.startswith(tuple(names)):
            continue
        started = time.monotonic()
        try:
            check.function(environment)
        except (CommandFailed, CheckFailed) as error:
            failed.append(check.name)
            say(f"FAIL {check.name}\n{error}")
        else:
            say(f"ok   {check.name} ({time.monotonic() - started:.1f} s)")
    return 1 if failed else 0
