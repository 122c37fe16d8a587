"""Pages of hosts: adding, trusting, closing, removing."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from apps.hosts.models import Host
from apps.hosts.services import fingerprint_of
from apps.operations.models import Operation

KEY = "ssh-ed25519 " + base64.b64encode(b"a key that was offered").decode()


def test_an_ssh_host_is_added_and_says_what_to_run(client: Any, admin: Any) -> None:
    client.force_login(admin)
    answer = client.post("/hosts/new/", {"name": "attic", "uri": "qemu+ssh://cloud@192.0.2.7/system"}, follow=True)
    text = answer.content.decode()
    assert answer.redirect_chain == [(f"/hosts/{Host.objects.get().pk}/", 302)]
    assert "apt-get install" in text
    assert "authorized_keys" in text
    assert Operation.objects.get().kind == "host.identify"


def test_the_commands_of_a_tls_host_are_shown_once(client: Any, admin: Any) -> None:
    """They hold its private key: an answer to a button, never a page that is opened again."""
    client.force_login(admin)
    answer = client.post("/hosts/new/", {"name": "nuc", "uri": "qemu+tls://nuc.example/system"})
    assert "PRIVATE KEY" in answer.content.decode()
    path = f"/hosts/{Host.objects.get().pk}/"
    assert "PRIVATE KEY" not in client.get(path).content.decode()
    assert client.get(f"{path}setup/").status_code == 405
    assert "PRIVATE KEY" in client.post(f"{path}setup/").content.decode()


@pytest.mark.parametrize(
    ("change", "field"),
    [({"name": "h1"}, "name"), ({"uri": "qemu+ssh://host/system?command=x"}, "uri"), ({"name": "Bad"}, "name")],
)
def test_a_wrong_host_is_said_at_the_field(
    client: Any, admin: Any, host: Any, change: dict[str, str], field: str
) -> None:
    client.force_login(admin)
    answer = client.post("/hosts/new/", {"name": "new", "uri": "qemu+ssh://cloud@192.0.2.7/system", **change})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert Host.objects.count() == 1


def test_only_the_right_fingerprint_is_trusted(client: Any, admin: Any, make_host: Callable[..., Any]) -> None:
    host = make_host("attic", transport="ssh", user="cloud", status="pending_trust", offered_key=KEY)
    client.force_login(admin)
    path = f"/hosts/{host.pk}/"
    page = client.get(path).content.decode()
    assert fingerprint_of(KEY) in page
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in page
    wrong = client.post(f"{path}trust/", {"fingerprint": "SHA256:wrong"})
    assert wrong.status_code == 422
    assert "not the fingerprint" in wrong.content.decode()
    assert 'value="SHA256:wrong"' in wrong.content.decode()
    client.post(f"{path}trust/", {"fingerprint": fingerprint_of(KEY)})
    host.refresh_from_db()
    assert (host.host_key, host.offered_key) == (KEY, "")


def test_a_host_with_vms_is_not_removed(client: Any, admin: Any, host: Any, make_vm: Callable[..., Any]) -> None:
    make_vm(admin, "web-1")
    client.force_login(admin)
    path = f"/hosts/{host.pk}/"
    answer = client.post(f"{path}delete/", headers={"referer": f"http://testserver{path}"}, follow=True)
    assert "h1 still carries web-1" in answer.content.decode()
    assert Host.objects.filter(pk=host.pk).exists()


def test_room_that_is_reserved_is_among_the_claims(client: Any, admin: Any, host: Any) -> None:
    from apps.placement.reservations import reservation_create

    client.force_login(admin)
    assert "None yet." in client.get(f"/hosts/{host.pk}/").content.decode()
    reservation_create(actor=admin, name="later", vcpus=2, memory_mib=512, disk_gib=5)
    text = client.get(f"/hosts/{host.pk}/").content.decode()
    assert 'later <span class="tag">Reserved</span>' in text
    assert "0 ours, 1 reserved" in text


def test_a_host_is_closed_opened_and_edited(client: Any, admin: Any, host: Any) -> None:
    client.force_login(admin)
    client.post(f"/hosts/{host.pk}/enable/", {"enabled": "false"})
    assert "Closed for new VMs" in client.get(f"/hosts/{host.pk}/").content.decode()
    sent = {"accelerator": "auto", "vcpu_ratio": "4", "memory_ratio": "1", "disk_ratio": "99"}
    sent["pull_interval_s"] = "20"
    assert client.post(f"/hosts/{host.pk}/edit/", sent).status_code == 422
    assert client.post(f"/hosts/{host.pk}/edit/", {**sent, "disk_ratio": "3"}).status_code == 302
    host.refresh_from_db()
    assert (host.enabled, host.vcpu_ratio, host.disk_ratio, host.vcpus_limit) == (False, 4.0, 3.0, 32)
    assert host.pull_interval_s == 20 and "Read every 20 s" in client.get(f"/hosts/{host.pk}/").content.decode()


@pytest.mark.parametrize("verb", ["trust", "enable", "probe", "delete", "edit", "setup"])
def test_a_member_has_no_hosts(client: Any, member: Any, host: Any, verb: str) -> None:
    client.force_login(member)
    answer = client.post(f"/hosts/{host.pk}/{verb}/", {"fingerprint": "x", "enabled": "false"})
    assert answer.status_code in (403, 404)
    host.refresh_from_db()
    assert host.enabled
