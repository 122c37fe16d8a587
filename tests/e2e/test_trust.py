"""Whom we trust on real hosts: what is refused, what it says, and how trust comes back."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud, probe, probed
from tests.hypervisor.pki import Authority
from tests.waiting import wait_for

pytestmark = pytest.mark.lab

PKI = ("/etc/pki/CA/cacert.pem", "/etc/pki/libvirt/servercert.pem", "/etc/pki/libvirt/private/serverkey.pem")
USER = "ada"


def failed(cloud: Cloud, operation: dict[str, Any]) -> dict[str, Any]:
    """The error of an operation that must fail, and may be tried again."""
    ended = cloud.finished(operation)
    assert ended["status"] == "failed", ended
    assert ended["error"]["retryable"] is True
    error: dict[str, Any] = ended["error"]
    return error


def trust(cloud: Cloud, record: dict[str, Any], host: LabHost, **more: str) -> dict[str, Any]:
    """Confirm a host's key as it is read on the host; the operation that probes it."""
    body = {"fingerprint": host.host_key_fingerprint(), **more}
    operation: dict[str, Any] = cloud.call("POST", f"hosts/{record['id']}/trust/", expect=202, json=body)["operation"]
    return operation


def test_a_changed_host_key_is_refused_shown_and_confirmed_anew(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    record, host = enrolled[0], lab_hosts[0]
    vm = cloud.create("trusted-1", host=host.name)
    old = host.host_key_fingerprint()
    host.regenerate_host_key()
    error = failed(cloud, probe(cloud, record))
    assert old in error["detail"]
    shown = cloud.get(f"hosts/{record['id']}/")
    assert (shown["status"], cloud.vm(vm["id"])["status"]) == ("key_changed", "unknown")
    assert host.host_key_fingerprint() in shown["reason"]
    stopping = cloud.verb(vm, "power-off")

    cloud.succeeded(probe(cloud, record))
    shown = cloud.get(f"hosts/{record['id']}/")
    assert (shown["status"], shown["fingerprint"]) == ("key_changed", host.host_key_fingerprint())
    for wrong in (old, "SHA256:" + "A" * 43):
        refusal = cloud.call("POST", f"hosts/{record['id']}/trust/", expect=422, json={"fingerprint": wrong})
        assert refusal["errors"][0]["field"] == "fingerprint"
    assert cloud.get(f"operations/{stopping['id']}/")["status"] == "queued"
    assert probed(cloud, trust(cloud, record, host))["status"] == "up"
    cloud.succeeded(stopping)
    assert cloud.vm(vm["id"])["status"] == "stopped"


@pytest.fixture
def stranger(lab_hosts: Sequence[LabHost], cloud: Cloud) -> Iterator[LabHost]:
    """The third host, which knows nobody's key; what was added of it is forgotten afterwards."""
    host = lab_hosts[2]
    host.run("rm", "-f", "/root/.ssh/authorized_keys")
    yield host
    for record in cloud.results("hosts/"):
        if record["name"] == host.name:
            cloud.call("DELETE", f"hosts/{record['id']}/", expect=204)


def add(cloud: Cloud, host: LabHost, user: str) -> dict[str, Any]:
    """A host whose key has been seen."""
    uri = f"qemu+ssh://{user}@{host.address}/system"
    answer = cloud.call("POST", "hosts/", expect=202, json={"name": host.name, "uri": uri})
    cloud.succeeded(answer["operation"])
    record: dict[str, Any] = answer["host"]
    return record


def test_a_password_installs_our_key_and_is_in_no_record(
    cloud: Cloud, enrolled: list[dict[str, Any]], stranger: LabHost
) -> None:
    record = add(cloud, stranger, "root")
    error = failed(cloud, trust(cloud, record, stranger))
    assert "does not accept our key yet" in error["detail"]
    error = failed(cloud, trust(cloud, record, stranger, password="not the password"))
    assert "refuses this password" in error["detail"]
    assert probed(cloud, trust(cloud, record, stranger, password=stranger.password))["status"] == "up"
    assert stranger.password not in cloud.logs()
    kept = cloud.sql("SELECT params::text, state::text FROM operations_operation")
    assert not [row for row in kept if stranger.password in "".join(row)]


def test_a_user_without_libvirt_is_told_what_to_do(
    cloud: Cloud, enrolled: list[dict[str, Any]], stranger: LabHost
) -> None:
    stranger.run("useradd", "--create-home", "--shell", "/bin/sh", "--password", "*", USER)
    record = add(cloud, stranger, USER)
    public_key = cloud.manage("shell", "-c", "from apps.hosts.certificates import *; print(ssh_key_ensure())").strip()
    stranger.run("install", "-d", "-m", "0700", "-o", USER, f"/home/{USER}/.ssh")
    stranger.run("tee", f"/home/{USER}/.ssh/authorized_keys", text=public_key.splitlines()[-1] + "\n")
    error = failed(cloud, trust(cloud, record, stranger))
    where = f"{USER} may not use libvirt on {stranger.address}"
    assert error["detail"] == f"{where}: adduser {USER} libvirt, then sign in anew"
    assert cloud.get(f"hosts/{record['id']}/")["reason"] == error["detail"]
    stranger.run("usermod", "-a", "-G", "libvirt", USER)
    assert probed(cloud, probe(cloud, record))["status"] == "up"


def test_a_foreign_certificate_is_refused(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    record, host = enrolled[1], lab_hosts[1]
    vm = cloud.create("certain-1", host=host.name)
    foreign = Authority()
    for path, text in zip(PKI, (foreign.pem, *foreign.issue(host.address, address=host.address)), strict=True):
        host.run("cp", "-p", path, f"{path}.ours")
        host.run("tee", path, text=text)
    host.stop_libvirtd()
    host.start_libvirtd()
    error = failed(cloud, probe(cloud, record))
    assert "certificate" in error["detail"].lower()
    shown = cloud.get(f"hosts/{record['id']}/")
    assert (shown["status"], shown["reason"]) == ("key_changed", error["detail"])
    assert cloud.vm(vm["id"])["status"] == "unknown"
    for path in PKI:
        host.run("mv", f"{path}.ours", path)
    host.stop_libvirtd()
    host.start_libvirtd()
    assert probed(cloud, probe(cloud, record))["status"] == "up"
    wait_for(lambda: cloud.vm(vm["id"])["status"] == "running", seconds=30, what="its VM to be seen again")
