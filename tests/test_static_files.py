"""Addresses of style sheets and scripts."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from cloudsite import static_files

LINK = re.compile(r'(?:href|src)="(/static/[^"]+)"')


def test_they_follow_the_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "app.css"
    monkeypatch.setattr(static_files.finders, "find", lambda _name: str(file))
    seen = []
    for text in ("a", "b", "a"):
        file.write_text(text)
        static_files._version.cache_clear()
        seen.append(static_files.Versioned().url("css/app.css"))
    static_files._version.cache_clear()
    assert seen[0] == seen[2] != seen[1]
    assert re.fullmatch(r"/static/css/app\.css\?v=[0-9a-f]{12}", seen[0])


def test_what_is_not_there_has_its_plain_address() -> None:
    for name in ("no/such.css", "css"):
        assert static_files.Versioned().url(name) == f"/static/{name}"


def test_every_file_of_a_page_is_served(db: None, settings: Any) -> None:
    settings.WHITENOISE_USE_FINDERS = True
    client = Client()
    links = LINK.findall(client.get("/sign-in/").content.decode())
    assert len(links) > 3
    for link in links:
        assert "?v=" in link
        assert client.get(link).status_code == 200
