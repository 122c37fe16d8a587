"""Images of people over the API: who sees what, what is refused, and a file that comes in pieces."""

from typing import Any

import pytest

from tests.api.answers import everything, problem_of
from tests.imagefile.hostile import qcow2

URL = "/api/v1/images/"


def begin(client: Any, **wish: Any) -> Any:
    return client.post(URL, {"name": "mine", **wish}, format="json")


def send(client: Any, image_id: str, content: bytes, offset: int = 0) -> Any:
    return client.put(
        f"{URL}{image_id}/file/", content, content_type="application/octet-stream", HTTP_UPLOAD_OFFSET=str(offset)
    )


def test_a_file_in_pieces(api_for: Any, member: Any) -> None:
    client, content = api_for(member), qcow2()
    image_id = begin(client, size_bytes=len(content)).json()["image"]["id"]
    assert send(client, image_id, content[:1000]).json()["image"]["received_bytes"] == 1000
    answer = problem_of(send(client, image_id, content[2000:], 2000), 409, "image.offset")
    assert answer["received_bytes"] == 1000
    problem_of(send(client, image_id, content, 1000), 422, "image.too_large")
    assert client.get(f"{URL}{image_id}/").json()["received_bytes"] == 1000
    last = send(client, image_id, content[1000:], 1000)
    assert last.status_code == 202
    assert last.json()["operation"]["kind"] == "image.check"
    assert last.json()["image"]["status"] == "checking"
    problem_of(send(client, image_id, content), 409, "image.not_uploading")


def test_two_at_once(api_for: Any, member: Any) -> None:
    from apps.storage.uploads import upload_open

    client = api_for(member)
    image_id = begin(client).json()["image"]["id"]
    with upload_open(actor=member, image_id=image_id, offset=0, length=5):
        problem_of(send(client, image_id, b"12345"), 409, "image.upload_in_flight")


def test_a_hostile_file_is_refused_at_once_and_gone(api_for: Any, member: Any, own_state_dir: Any) -> None:
    client = api_for(member)
    image_id = begin(client).json()["image"]["id"]
    problem_of(send(client, image_id, qcow2(backing=b"/etc/passwd")), 422, "image.backing_file", "file")
    assert list((own_state_dir / "images" / "incoming" / image_id).glob("source")) == []
    assert send(client, image_id, qcow2()).status_code == 202, "a second attempt with a good one"


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"name": "Not A Name"}, 422, "request.refused"),
        ({"format": "vmdk"}, 422, "image.format"),
        ({"format": 7}, 400, None),
        ({"size_bytes": 0}, 422, "image.too_large"),
        ({"size_bytes": 2**60}, 422, "image.too_large"),
        ({"checksum": "md5:abc"}, 422, "checksum.invalid"),
        ({"url": "https://example.org/x"}, 422, "image.checksum_missing"),
        ({"url": "http://example.org/x", "checksum": "sha256:" + "0" * 64}, 422, "url.scheme"),
        ({"url": "file:///etc/passwd", "checksum": "sha256:" + "0" * 64}, 422, "url.scheme"),
        ({"url": "https://a:b@example.org/", "checksum": "sha256:" + "0" * 64}, 422, "url.credentials"),
        ({"catalogue": "windows"}, 422, "catalogue.unknown"),
        ({"catalogue": "home-assistant-os"}, 422, "image.checksum_missing"),
        ({"public": True}, 403, "image.public_admin_only"),
        ({"min_disk_gib": -1}, 422, "image.out_of_range"),
        ({"architecture": "vax"}, 422, "image.architecture"),
        ({"default_user": "a b"}, 422, "image.default_user"),
        ({"packed": "rar"}, 422, "image.packed"),
        ({"owner": "admin"}, 400, None),
    ],
    ids=str,
)
def test_what_is_refused(api_for: Any, member: Any, wish: dict[str, Any], status: int, code: str | None) -> None:
    before = everything()
    problem_of(begin(api_for(member), **wish), status, code)
    assert everything() == before


def test_names_and_who_sees_what(api_for: Any, member: Any, other: Any, admin: Any, image: Any) -> None:
    mine, theirs, boss = api_for(member), api_for(other), api_for(admin)
    image_id = begin(mine).json()["image"]["id"]
    problem_of(begin(mine), 422, "image.name_taken", "name")
    assert begin(theirs).status_code == 201, "a name belongs to its owner"
    assert image_id not in theirs.get(URL).content.decode()
    problem_of(theirs.patch(f"{URL}{image_id}/", {"title": "x"}, format="json"), 404, "image.not_found")
    problem_of(mine.patch(f"{URL}{image.pk}/", {"title": "x"}, format="json"), 403, "image.not_yours")
    problem_of(mine.delete(f"{URL}{image.pk}/"), 403, "image.not_yours")
    assert boss.patch(f"{URL}{image_id}/", {"public": True}, format="json").status_code == 200
    assert theirs.get(f"{URL}{image_id}/").json()["public"] is True


def test_one_that_is_not_ready_starts_no_machine(api_for: Any, member: Any, host: Any) -> None:
    client = api_for(member)
    begin(client)
    wish = {"name": "web-1", "image": "mine", "vcpus": 1, "memory_mib": 256, "disk_gib": 2}
    problem_of(client.post("/api/v1/vms/", wish, format="json"), 422, "image.not_ready", "image")


def test_the_catalogue_is_whole() -> None:
    from apps.names import valid_name
    from apps.storage.addresses import url_checked
    from apps.storage.catalogue import offers

    assert len(offers()) >= 11
    for offer in offers():
        valid_name("name", offer.name)
        for address in filter(None, (offer.url, offer.sums)):
            url_checked("url", address)
