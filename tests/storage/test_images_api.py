"""Images over the API: everybody reads them, nobody learns where the file lies."""

from typing import Any


def test_everybody_reads_images(api_for: Any, viewer: Any, image: Any) -> None:
    client = api_for(viewer)
    (listed,) = client.get("/api/v1/images/").json()["results"]
    assert listed == client.get(f"/api/v1/images/{image.pk}/").json()
    assert listed["name"] == "tiny"
    assert (listed["min_disk_gib"], listed["virtual_size_bytes"], listed["cloud_init"]) == (1, 2**30, False)
    assert listed["sha256"] == image.sha256


def test_the_file_is_nobodys_business(api_for: Any, admin: Any, image: Any, own_state_dir: Any) -> None:
    assert str(own_state_dir) not in api_for(admin).get("/api/v1/images/").content.decode()


def test_search_and_order(api_for: Any, member: Any, image: Any) -> None:
    from apps.storage.models import Image

    for name in ("debian-12", "alpine"):
        Image.objects.create(name=name, sha256="0" * 64, size_bytes=1, virtual_size_bytes=3 * 2**30 + 1)
    client = api_for(member)

    def names(query: str) -> list[str]:
        return [found["name"] for found in client.get(f"/api/v1/images/?{query}").json()["results"]]

    assert names("search=IN") == ["alpine", "tiny"]
    assert names("name=debian-12") == ["debian-12"]
    assert names("ordering=name") == ["alpine", "debian-12", "tiny"]
    assert client.get("/api/v1/images/?name=alpine").json()["results"][0]["min_disk_gib"] == 4
