"""The documentation speaks of what exists: files, headings, make targets, settings and paths of the API."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, resolve

from cloudsite.config import Config
from cloudsite.settings_doc import settings_page

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
VARIABLE = re.compile(r"\b(CLOUDSITE_[A-Z_]*[A-Z])\b")
API_PATH = re.compile(r"/api/v1/[A-Za-z0-9/{}<>$_…-]*")
SOURCE_DIRECTORIES = (
    "agents",
    "apps",
    "bootstrap",
    "cloudsite",
    "hypervisor",
    "imagebuild",
    "imagefile",
    "lab",
    "workers",
    "tests",
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code(text: str) -> Iterator[str]:
    """Code blocks and code in the text: what people copy."""
    yield from FENCE.findall(text)
    yield from INLINE.findall(FENCE.sub("", text))


def anchors(page: Path) -> set[str]:
    """The headings of a page as the web shows them in links."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    broken = []
    for link in LINK.findall(FENCE.sub("", text)):
        url = urlsplit(link)
        if url.scheme:
            continue
        target = (page.parent / url.path).resolve() if url.path else page
        missing = not target.exists() or (url.fragment and url.fragment not in anchors(target))
        if missing or not target.is_relative_to(ROOT):
            broken.append(link)
    return broken


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def unknown_targets(text: str) -> list[str]:
    """Targets after ``make`` where a command stands: at the beginning, or after ``;``, ``&&`` or a variable."""
    starts = re.compile(r"(?:^|[;&:] |[A-Z_]+=\S+ )make ([a-z]\S*)", re.MULTILINE)
    named = [name.rstrip(";.,") for piece in code(text) for name in starts.findall(piece)]
    return [name for name in named if name not in make_targets()]


def known_variables() -> set[str]:
    """Fields of the settings model, and what the rest of the source reads by name."""
    fields = {str(field.validation_alias or f"CLOUDSITE_{name.upper()}") for name, field in Config.model_fields.items()}
    sources = (path for name in SOURCE_DIRECTORIES for path in (ROOT / name).rglob("*.py") if path != Path(__file__))
    return fields.union(*(re.findall(r"""["'](CLOUDSITE_[A-Z_]+)["']""", path.read_text()) for path in sources))


def missing_files(text: str) -> list[str]:
    """Paths of this repository that stand as code: a known directory first, then what is in it."""
    tops = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    named = re.compile(r"[a-z]\w*(?:/[\w.-]+)+/?|[a-z]\w*/")
    inline = INLINE.findall(FENCE.sub("", text))
    paths = [piece for piece in inline if named.fullmatch(piece) and piece.split("/")[0] in tops]
    return [path for path in paths if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}.*"))]


def unknown_api_paths(text: str) -> list[str]:
    """Paths of the API that no view answers; ``{id}``, ``<id>`` and ``$VM`` stand for an id."""
    unknown = []
    for path in API_PATH.findall(text):
        if "…" in path:
            continue
        plain = re.sub(r"\{\w+\}|<\w+>|\$\w+", str(uuid.uuid4()), path)
        try:
            if plain != "/api/v1/":
                resolve(plain)
        except Resolver404:
            unknown.append(path)
    return unknown


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


@each_page
def test_make_targets_exist(page: Path) -> None:
    assert unknown_targets(page.read_text()) == []


@each_page
def test_settings_exist(page: Path) -> None:
    assert sorted(set(VARIABLE.findall(page.read_text())) - known_variables()) == []


@each_page
def test_files_exist(page: Path) -> None:
    assert missing_files(page.read_text()) == []


@each_page
def test_api_paths_are_answered(page: Path) -> None:
    assert unknown_api_paths(page.read_text()) == []


def test_the_settings_page_is_what_the_model_says() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page()


def test_every_page_of_the_documentation_is_linked() -> None:
    linked = {
        (page.parent / urlsplit(link).path).resolve() for page in PAGES for link in LINK.findall(page.read_text())
    }
    assert [page for page in PAGES if page.name != "README.md" and page not in linked] == []


def test_every_decision_is_in_the_index_with_its_own_title() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    for page in (ROOT / "docs" / "adr").glob("0*.md"):
        number, title = page.read_text().splitlines()[0].removeprefix("# ").split(". ", 1)
        assert f"[{number}]({page.name}) | {title} |" in index


def test_control_the_checks_see_what_is_wrong() -> None:
    page = ROOT / "README.md"
    assert broken_links(page, "[a](docs/none.md) [b](docs/api.md#none) [c](docs/api.md)") == [
        "docs/none.md",
        "docs/api.md#none",
    ]
    assert unknown_targets("`make dinner` and `make run`, we make tea\n```sh\nA=1 make supper; make stop\n```") == [
        "supper",
        "dinner",
    ]
    assert VARIABLE.findall("`CLOUDSITE_NONE`=1") == ["CLOUDSITE_NONE"]
    assert "CLOUDSITE_NONE" not in known_variables()
    assert missing_files("`apps/none.py` `apps/errors.py` `workers/`") == ["apps/none.py"]
    assert unknown_api_paths("$B/api/v1/vms/$VM/start/ /api/v1/vms/{id}/dance/") == ["/api/v1/vms/{id}/dance/"]
