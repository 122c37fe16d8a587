"""The file of an image, sent by a signed-in browser: its cookie alone is not enough."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.api.answers import everything
from tests.imagefile.hostile import qcow2

Put = Callable[..., Any]


@pytest.fixture
def sent(member: Any) -> Put:
    """Send a file with the session of ``member`` and the given headers."""
    from apps.storage.models import Image

    image = Image.objects.create(owner=member, name="mine", status="uploading", source_format="qcow2")
    client = Client(enforce_csrf_checks=True)
    client.force_login(member, backend="django.contrib.auth.backends.ModelBackend")
    client.get("/images/new/")

    def send(**headers: str) -> Any:
        url, token = f"/api/v1/images/{image.pk}/file/", client.cookies["csrftoken"].value
        given = {name: value.replace("TOKEN", token) for name, value in headers.items()}
        return client.put(url, qcow2(), content_type="application/octet-stream", headers=given)

    return send


@pytest.mark.parametrize("headers", [{}, {"X-CSRFToken": "x" * 32}, {"Cookie2": "csrftoken=TOKEN"}], ids=str)
def test_without_the_token_nothing_is_taken(sent: Put, own_state_dir: Any, headers: dict[str, str]) -> None:
    before = everything()
    answer = sent(**headers)
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["detail"]
    assert everything() == before
    assert not (own_state_dir / "images" / "incoming").exists()


def test_from_another_site_nothing_is_taken(sent: Put, own_state_dir: Any) -> None:
    assert sent(**{"X-CSRFToken": "TOKEN", "Origin": "https://elsewhere.example"}).status_code == 403
    assert not (own_state_dir / "images" / "incoming").exists()


def test_with_it_the_file_is_taken(sent: Put) -> None:
    assert sent(**{"X-CSRFToken": "TOKEN"}).status_code == 202
