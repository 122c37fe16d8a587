"""The rules of ``docs/architecture.md`` that a linter does not know, each with a case in which it is broken."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINTER = PYPROJECT["tool"]["importlinter"]
PACKAGES: list[str] = LINTER["root_packages"]
MOST_LINES = 400


@cache
def files_in_git() -> list[Path]:
    """Every file that is or is about to be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def python_in(*directories: str) -> Iterator[Path]:
    for directory in directories:
        yield from (path for path in files_in_git() if path.suffix == ".py" and (ROOT / directory) in path.parents)


class TestContracts:
    """The import contracts are kept, and each is seen to break."""

    VIOLATIONS = {
        "Workers and consoles stand above the project, the project above the apps": (
            "cloudsite/wrong_layer.py",
            "import workers.tasks",
        ),
        "Apps are layered": ("apps/hosts/wrong_app.py", "from apps.compute.models import VM"),
        "Inside an app: urls, then pages and API, then services, selectors, models": (
            "apps/hosts/models.py",
            "from apps.hosts import services",
        ),
        "libvirt is imported by its driver only": ("workers/wrong_import.py", "import libvirt"),
        "Apps and project cannot reach a host": ("apps/hosts/wrong_reach.py", "import hypervisor.errors"),
        "Policies and decisions know no Django and no table": (
            "apps/placement/engine/wrong_way.py",
            "import django.db",
        ),
        "The hypervisor package knows nothing of ours": ("hypervisor/wrong_way.py", "import apps.errors"),
        "What handles hostile image files knows nothing of ours": ("imagefile/wrong_way.py", "import apps.errors"),
        "Agents know nothing of ours, and need Python alone": ("agents/host/wrong_way.py", "import hypervisor.errors"),
    }

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        """A copy of the packages and of the contracts."""
        tree = tmp_path / "tree"
        tree.mkdir()
        shutil.copy(ROOT / "pyproject.toml", tree)
        for path in python_in(*PACKAGES):
            target = tree / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        return tree

    def lint(self, tree: Path) -> tuple[int, str]:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
            cwd=tree,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def test_there_is_a_violation_for_each(self) -> None:
        assert {contract["name"] for contract in LINTER["contracts"]} == self.VIOLATIONS.keys()

    def test_all_are_kept_and_each_breaks(self, tree: Path) -> None:
        status, said = self.lint(tree)
        assert status == 0, said
        for file, line in self.VIOLATIONS.values():
            with (tree / file).open("a") as module:
                module.write(f"\n{line}\n")
        status, said = self.lint(tree)
        assert status != 0
        for name in self.VIOLATIONS:
            assert f"{name} BROKEN" in said


# --- files

STANDARD = {
    "__init__.py",
    "admin.py",
    "api.py",
    "apps.py",
    "forms.py",
    "models.py",
    "selectors.py",
    "services.py",
    "urls.py",
    "views.py",
}
VAGUE = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py", "tools.py"}

LONG = {
    "docs/openapi.yaml": "generated",
    "frontend/package-lock.json": "generated",
    "requirements/base.txt": "generated, with hashes",
    "requirements/dev.txt": "generated, with hashes",
    "uv.lock": "generated",
    "tests/hypervisor/test_contract.py": "one contract, which the fake and every driver pass whole",
}


class TestFiles:
    def test_none_is_long(self) -> None:
        long = {}
        for path in files_in_git():
            content = path.read_bytes()
            if b"\0" not in content[:8000] and content.count(b"\n") > MOST_LINES:
                long[str(path.relative_to(ROOT))] = content.count(b"\n")
        assert {name: lines for name, lines in long.items() if name not in LONG} == {}

    def test_none_has_a_vague_name(self) -> None:
        assert [path for path in files_in_git() if path.name in VAGUE] == []

    @pytest.mark.parametrize("app", sorted(path.parent.name for path in (ROOT / "apps").glob("*/apps.py")))
    def test_every_app_has_the_same_files_where_it_has_something(self, app: str) -> None:
        """Where there are tables they are seen in the admin; where there is something to open there is an URL."""
        directory = ROOT / "apps" / app
        have = {path.name for path in directory.glob("*.py")}
        assert "__init__.py" in have
        if "models.py" in have:
            assert "admin.py" in have
            assert (directory / "migrations" / "0001_initial.py").exists()
        if have & {"api.py", "views.py"}:
            assert "urls.py" in have
        if "forms.py" in have:
            assert "views.py" in have
        for name in have - STANDARD:
            docstring = ast.get_docstring(ast.parse((directory / name).read_text()))
            assert docstring, f"{app}/{name} is no standard file and does not say what it is for"


# --- patterns

PATTERNS: dict[str, tuple[tuple[str, ...], str, set[str], str]] = {
    "a shell": (tuple(PACKAGES), r"shell\s*=\s*True", set(), "subprocess.run(x, shell=True)"),
    "any host key": (
        (*PACKAGES, "tests"),
        r"AutoAddPolicy|WarningPolicy|StrictHostKeyChecking\s*[= ]\s*no\b",
        set(),
        "client.set_missing_host_key_policy(AutoAddPolicy())",
    ),
    "any certificate": (
        tuple(PACKAGES),
        r"verify\s*=\s*False|CERT_NONE",
        {"bootstrap/fresh_smoke.py", "bootstrap/process_table.py"},  # asking our own process whether it answers
        "get(url, verify=False)",
    ),
    "unescaped text": (tuple(PACKAGES), r"\bmark_safe\b|\bSafeString\b", set(), "return mark_safe(name)"),
    "a message beside the doorbell": (
        ("apps", "cloudsite", "workers"),
        r"\.delay\(|\.apply_async\(|\bsend_task\(",
        {"apps/operations/doorbell.py", "workers/tasks.py", "workers/sweep.py"},
        "vm_create.delay(vm.pk)",
    ),
    "a signal": (("apps",), r"django\.db\.models\.signals|@receiver\b", set(), "@receiver(post_save)"),
    "sleeping": (("tests",), r"\btime\.sleep\(|from time import .*\bsleep\b", set(), "time.sleep(1)"),
    "qemu-img": (
        tuple(PACKAGES),
        r"""["']qemu-(img|io|nbd)["'\s]""",
        # The builder reads only what it has just written itself, as root, with the format stated.
        {"imagefile/qemu_img.py", "imagebuild/disk.py"},
        'run(["qemu-img", "info", path])',
    ),
    "unsafe YAML": (tuple(PACKAGES), r"yaml\.(load|unsafe_load|full_load)\(", set(), "yaml.load(text)"),
    "pickle": (tuple(PACKAGES), r"^\s*(import|from) (pickle|shelve|marshal)\b", set(), "import pickle"),
}


def matches(name: str, text: str) -> bool:
    return re.search(PATTERNS[name][1], text, re.MULTILINE) is not None


def xml_from_strings(source: str) -> list[int]:
    """Lines on which a string with a tag in it is formatted or joined."""
    lines: list[int] = []
    for node in ast.walk(ast.parse(source)):
        formatted = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add)
        )
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
        if not (formatted or called):
            continue
        texts = [
            item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str)
        ]
        if any(re.search(r"</?[A-Za-z][\w:]*[\s/>]|</?[A-Za-z]\w*$", text) for text in texts):
            lines.append(node.lineno)  # type: ignore[attr-defined]
    return lines


class TestPatterns:
    @pytest.mark.parametrize("name", PATTERNS)
    def test_is_nowhere(self, name: str) -> None:
        directories, _pattern, allowed, example = PATTERNS[name]
        assert matches(name, example), "the pattern does not find its own example"
        found = [
            str(path.relative_to(ROOT))
            for path in python_in(*directories)
            if path != Path(__file__) and matches(name, path.read_text())
        ]
        assert set(found) <= allowed

    def test_no_template_trusts_text(self) -> None:
        wrong = re.compile(r"\|\s*safe\b|\{%\s*autoescape\s+off|\|\s*safeseq\b")
        assert wrong.search("{{ name|safe }}")
        templates = [path for path in files_in_git() if path.suffix in (".html", ".txt") and "templates" in path.parts]
        assert len(templates) > 10
        assert [path for path in templates if wrong.search(path.read_text())] == []

    def test_xml_is_never_put_together_from_strings(self) -> None:
        for example in (
            'f"<name>{name}</name>"',
            '"<name>%s</name>" % name',
            '"<name>" + name',
            '"<a>{}</a>".format(x)',
        ):
            assert xml_from_strings(example), example
        assert not xml_from_strings('f"{a} < {b}"')
        found = {str(path.relative_to(ROOT)): xml_from_strings(path.read_text()) for path in python_in("hypervisor")}
        assert {name: lines for name, lines in found.items() if lines} == {}

    def test_every_subprocess_has_a_limit_and_no_input(self) -> None:
        """``subprocess.run`` without a time-out or a closed input can hang for ever."""
        wrong: list[str] = []
        for path in python_in("apps", "cloudsite", "workers", "hypervisor", "imagefile"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                    "subprocess.run",
                    "subprocess.check_output",
                ):
                    given = {keyword.arg for keyword in node.keywords}
                    if not {"timeout"} <= given or not given & {"stdin", "input"}:
                        wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
        assert wrong == []


def test_a_task_takes_an_id_and_nothing_else() -> None:
    """A message may be lost, repeated or read by others: what is to be done stands in PostgreSQL."""
    from celery import current_app

    import workers.tasks

    def arguments(task: Any) -> list[str]:
        return task.run.__code__.co_varnames[: task.run.__code__.co_argcount]

    ours = [task for task in current_app.tasks.values() if task.run.__module__ == workers.tasks.__name__]
    assert len(ours) >= 4
    assert {tuple(arguments(task)) for task in ours} <= {(), ("operation_id",), ("host_id",)}
