"""The file of an image through the web process itself: uvicorn, the stream to the disk, no transaction around it."""

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.cloud import free_port
from tests.console.conftest import Served
from tests.imagefile.hostile import qcow2
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a web process."""
    from django.core.asgi import get_asgi_application

    from cloudsite.uploads import UploadBody

    served = Served(UploadBody(get_asgi_application()), host="127.0.0.1", port=(port := free_port()))
    served.start()
    wait_for(lambda: served.server.started, seconds=10, what="the web process")
    yield f"http://127.0.0.1:{port}"
    served.end()


def test_a_browser_sends_it_in_pieces_and_not_without_its_token(site: str, member: Any, own_state_dir: Any) -> None:
    from django.test import Client

    from apps.storage.images import image_create

    content = qcow2()
    image = image_create(actor=member, name="mine", size_bytes=len(content)).image
    signed_in = Client()
    signed_in.force_login(member, backend="django.contrib.auth.backends.ModelBackend")
    signed_in.get("/images/new/")
    cookies = {name: signed_in.cookies[name].value for name in ("sessionid", "csrftoken")}
    path = f"/api/v1/images/{image.pk}/file/"
    with httpx.Client(base_url=site, cookies=cookies, timeout=20) as browser:
        begin = {"Upload-Offset": "0", "Content-Type": "application/octet-stream"}
        assert browser.put(path, content=content[:70000], headers=begin).status_code == 403
        assert not (own_state_dir / "images" / "incoming").exists(), "not a byte without the token"
        known = {**begin, "X-CSRFToken": cookies["csrftoken"]}
        first = browser.put(path, content=content[:70000], headers=known)
        assert (first.status_code, first.json()["image"]["received_bytes"]) == (200, 70000)
        last = browser.put(path, content=content[70000:], headers={**known, "Upload-Offset": "70000"})
        assert (last.status_code, last.json()["image"]["status"]) == (202, "checking")
