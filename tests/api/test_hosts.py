"""Hosts over the API: adding, trusting, opening and closing, removing."""

from typing import Any

import pytest

from tests.api.answers import everything, problem_of

URL = "/api/v1/hosts/"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvzjgrc7y7ynd0p3HoCEgmqlRkrm5qRRvVlTdNKwPFt"


def add(boss: Any, name: str, uri: str) -> Any:
    return boss.post(URL, {"name": name, "uri": uri}, format="json")


def test_adding_one_by_ssh_says_what_to_run_there(boss: Any) -> None:
    response = add(boss, "attic", "qemu+ssh://cloud@attic.example:2222/system")
    assert response.status_code == 202
    found = response.json()
    assert found["operation"]["kind"] == "host.identify"
    assert found["host"]["uri"] == "qemu+ssh://cloud@attic.example:2222/system"
    assert (found["host"]["status"], found["host"]["fingerprint"]) == ("pending_trust", None)
    setup = found["host"]["setup"]
    assert setup["public_key"].startswith("ssh-ed25519 ")
    assert any(setup["public_key"] in command for command in setup["commands"])
    assert "PRIVATE" not in str(setup)
    assert "setup" not in boss.get(f"{URL}{found['host']['id']}/").json()


def test_adding_one_by_tls_brings_its_certificate(boss: Any) -> None:
    found = add(boss, "attic", "qemu+tls://[fd00::7]/system").json()
    assert found["host"]["uri"] == "qemu+tls://[fd00::7]/system"
    assert found["operation"]["kind"] == "host.probe"
    text = "\n".join(found["host"]["setup"]["commands"])
    for part in ("cacert.pem", "servercert.pem", "serverkey.pem", "tls_allowed_dn_list", "BEGIN CERTIFICATE"):
        assert part in text
    assert "PRIVATE" not in boss.get(URL).content.decode()


def test_the_local_one_needs_nothing(boss: Any) -> None:
    found = add(boss, "here", "qemu:///system").json()
    assert found["host"]["setup"]["commands"] == []
    assert found["operation"]["kind"] == "host.probe"


@pytest.mark.parametrize(
    ("name", "uri", "field", "code"),
    [
        ("attic", "qemu+tls://other.example/system", "name", "host.name_taken"),
        ("other", "qemu+tls://attic.example/system", "uri", "host.exists"),
        ("other", "qemu+tls://ATTIC.example/system", "uri", "host.exists"),
    ],
)
def test_a_host_is_known_once(boss: Any, name: str, uri: str, field: str, code: str) -> None:
    assert add(boss, "attic", "qemu+tls://attic.example/system").status_code == 202
    before = everything()
    problem_of(add(boss, name, uri), 422, code, field)
    assert everything() == before


def test_trust_needs_the_fingerprint_that_was_seen(boss: Any, make_host: Any) -> None:
    from apps.hosts.services import fingerprint_of

    host = make_host("attic", transport="ssh", user="cloud", status="pending_trust")
    path = f"{URL}{host.pk}/trust/"
    problem_of(boss.post(path, {"fingerprint": "SHA256:x"}, format="json"), 409, "host.no_key_yet")
    host.offered_key = KEY
    host.save()
    shown = boss.get(f"{URL}{host.pk}/").json()["fingerprint"]
    assert shown == fingerprint_of(KEY)
    before = everything()
    for wrong in ("SHA256:x", shown[:-1], shown.upper(), "ü", shown.removeprefix("SHA256:"), "0" * 100):
        problem_of(boss.post(path, {"fingerprint": wrong}, format="json"), 422, "host.fingerprint", "fingerprint")
    assert everything() == before
    response = boss.post(path, {"fingerprint": f" {shown}\n"}, format="json")
    assert response.status_code == 202
    host.refresh_from_db()
    assert (host.host_key, host.offered_key) == (KEY, "")
    assert response.json()["operation"]["kind"] == "host.probe"


def test_a_tls_host_has_nothing_to_trust(boss: Any, host: Any) -> None:
    answer = boss.post(f"{URL}{host.pk}/trust/", {"fingerprint": "SHA256:x"}, format="json")
    problem_of(answer, 409, "host.trust_not_needed")


def test_closing_and_ratios(boss: Any, host: Any) -> None:
    before = host.memory_limit_mib
    found = boss.patch(f"{URL}{host.pk}/", {"enabled": False, "memory_ratio": 2}, format="json").json()
    assert found["enabled"] is False
    assert found["capacity"]["memory_mib"] == 2 * before
    problem_of(boss.patch(f"{URL}{host.pk}/", {"accelerator": "xen"}, format="json"), 422, field="accelerator")
    problem_of(boss.patch(f"{URL}{host.pk}/", {"uri": "qemu:///system"}, format="json"), 400, field="uri")


def test_a_host_with_vms_stays_and_lists_them(boss: Any, host: Any, make_vm: Any, member: Any) -> None:
    from apps.hosts.capacity import Demand, capacity_claim

    vm = make_vm(member, "web-1", host=host)
    demand = Demand(vcpus=1, memory_mib=256, disk_gib=2)
    assert capacity_claim(host_id=host.pk, consumer_id=vm.pk, label="web-1", demand=demand)
    for query in ("", "?dry_run=true"):
        found = problem_of(boss.delete(f"{URL}{host.pk}/{query}"), 409, "host.has_vms")
        assert found["vms"] == ["web-1"]
        assert "web-1" in found["detail"]


def test_removing_one(boss: Any, host: Any) -> None:
    assert boss.delete(f"{URL}{host.pk}/").status_code == 204
    problem_of(boss.get(f"{URL}{host.pk}/"), 404, "host.not_found")


def test_a_probe_on_its_way_is_named(boss: Any, host: Any) -> None:
    running = boss.post(f"{URL}{host.pk}/probe/").json()["operation"]
    for answer in (boss.post(f"{URL}{host.pk}/probe/"), boss.delete(f"{URL}{host.pk}/")):
        assert problem_of(answer, 409)["operation"] == running["id"]
