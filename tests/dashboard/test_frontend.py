"""The committed style sheet, icons and font are what the sources make, and nothing points into the void."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
FRONTEND = ROOT / "frontend"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


@pytest.mark.skipif(
    shutil.which("node") is None or not (FRONTEND / "node_modules").is_dir(),
    reason="needs Node and `npm ci` in frontend/; nobody else needs them",
)
def test_a_rebuild_changes_nothing(tmp_path: Path) -> None:
    command = ["node", "build.js", str(tmp_path)]
    subprocess.run(command, cwd=FRONTEND, check=True, timeout=120, stdin=subprocess.DEVNULL, capture_output=True)
    built = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(built) > 40
    for path in built:
        name = path.relative_to(tmp_path)
        assert path.read_bytes() == (ROOT / name).read_bytes(), f"{name} is stale: run `npm run build`"


def test_every_included_template_is_there() -> None:
    for path in TEMPLATES:
        for name in re.findall(r'{% (?:include|extends) "([^"]+)"', path.read_text()):
            if not name.startswith("admin/"):
                assert (ROOT / "templates" / name).is_file(), f"{path.name} names {name}"


def test_every_icon_is_used_and_every_static_file_is_there() -> None:
    text = (
        "\n".join(path.read_text() for path in TEMPLATES) + (ROOT / "apps/dashboard/templatetags/show.py").read_text()
    )
    for icon in (ROOT / "templates" / "icons").glob("*.svg"):
        assert f"icons/{icon.name}" in text or f'"{icon.stem}"' in text, f"{icon.stem} is used nowhere"
    for name in re.findall(r'{% static "([^"]+)" %}', text):
        assert (ROOT / "static" / name).is_file(), name


def test_nothing_that_waits_to_ask_is_replaced_by_its_own_answer() -> None:
    """What htmx swapped out never asks again: a choice within its delay would be lost."""
    for path in TEMPLATES:
        for tag in re.findall(r"<[a-z]+ [^<]*hx-trigger=[^<]*", path.read_text()):
            if "delay:" in tag:
                assert 'hx-target="#' in tag, f"{path.name}: {tag}"


def test_what_is_chosen_later_replaces_the_question_before() -> None:
    """Else it waits for an answer that may take it away; that of a list must not be lost to the list's own question."""
    for path in TEMPLATES:
        for tag in re.findall(r"<[a-z]+ [^<]*hx-trigger=[^<]*", path.read_text()):
            if re.search(r'hx-trigger="[^"]*change', tag):
                assert ":replace" in tag, f"{path.name}: {tag}"
            if 'class="filters"' in tag:
                (target,) = re.findall(r'hx-target="(#[a-z]+)"', tag)
                assert f'hx-sync="{target}:replace"' in tag, f"{path.name}: {tag}"
