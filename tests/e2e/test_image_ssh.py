"""The real cloud image: from create to an accepted SSH login, with what cloud-init was given."""

import base64
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.host import Host as LabHost
from tests.cloud import Cloud, enter_image
from tests.e2e.clean import look
from tests.e2e.guests import answer, reserved
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.image]

KEY = "/root/guest-key"
LOGIN_SECONDS = 280
USER_DATA = (
    "#cloud-config\n"
    "# Grüße: 'quotes', \"double\", $HOME, <tag>, back\\slash and trailing space: \n"
    "write_files:\n"
    "  - path: /root/proof\n"
    "    content: written by cloud-init\n"
)


def login(host: LabHost, address: str, command: str, *, timeout: float = 30) -> str:
    """Run a command in the guest over SSH from its host; nothing when it is not let in yet."""
    options = (
        "StrictHostKeyChecking=accept-new",
        "UserKnownHostsFile=/root/guests",
        "BatchMode=yes",
        "ConnectTimeout=5",
    )
    argv = ["ssh", "-q", "-i", KEY, *(part for option in options for part in ("-o", option))]
    try:
        return host.run(*argv, f"debian@{address}", command, check=False, timeout=timeout).stdout
    except (LabError, subprocess.TimeoutExpired):
        return ""


def one_time_password(cloud: Cloud, host: LabHost, vm: dict[str, Any]) -> None:
    """Set through the guest's own agent: good at its login prompt, which wants another one at once."""
    cloud.succeeded(cloud.verb(vm, "console-password"))
    shown = cloud.call("POST", f"vms/{vm['id']}/console-password/reveal/", expect=200, json={})
    assert (shown["login"], shown["must_change"]) == ("debian", True)
    cloud.call("POST", f"vms/{vm['id']}/console-password/reveal/", expect=409, json={})
    assert "expired" not in login(host, reserved(vm), "echo expired")
    own, passed = "staple-battery-17", shown["password"]
    turns = ("login:", "debian"), ("assword:", passed), ("Current password:", passed)
    answer(host, vm, *turns, ("New password:", own), ("new password:", own), ("$ ", "touch signed-in-here"))
    wait_for(lambda: "signed-in-here" in login(host, reserved(vm), "ls"), seconds=30, what="SSH to be open again")
    logs = "".join(path.read_text(errors="replace") for path in cloud.state_dir.glob("*.log"))
    assert passed not in logs + host.run("sh", "-c", "cat /var/log/libvirt/qemu/*.log").stdout


@pytest.mark.timeout(600)
def test_web_1_from_the_real_image(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost], debian_image: Path
) -> None:
    host = lab_hosts[0]
    enter_image(cloud, "debian-12", debian_image)
    host.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "e2e", "-f", KEY)
    public_key = host.run("cat", f"{KEY}.pub").stdout.strip()
    cloud.call("POST", "ssh-keys/", expect=201, json={"name": "laptop", "public_key": public_key})
    vm = cloud.create(
        "web-1",
        image="debian-12",
        size="s-1vcpu-512mb",
        host=host.name,
        ssh_keys=["laptop"],
        user_data=USER_DATA,
        seconds=240,
    )
    address = reserved(vm)
    wait_for(
        lambda: "ready" in login(host, address, "echo ready"),
        seconds=LOGIN_SECONDS,
        what="an accepted SSH login",
        every=1.0,
    )
    # The guest waits itself: asking every second, each time by a new login and a new Python, took most of its one
    # emulated CPU away from cloud-init.
    wait_for(
        lambda: "done" in login(host, address, "cloud-init status --wait", timeout=60),
        seconds=120,
        what="cloud-init to be done",
        every=1.0,
    )
    assert login(host, address, "hostname").strip() == "web-1"
    assert login(host, address, "sudo cat /root/proof").strip() == "written by cloud-init"
    seen = login(host, address, "sudo base64 -w0 /var/lib/cloud/instance/user-data.txt")
    assert base64.b64decode(seen).decode() == USER_DATA
    size_gib = int(login(host, address, "df --output=size -BM / | tail -n1").strip().rstrip("M")) / 1024
    assert size_gib > 0.85 * vm["disk_gib"]
    assert login(host, address, "sudo id -u").strip() == "0"
    assert "ssh_host_ed25519_key" in login(host, address, "ls /etc/ssh")
    assert login(host, address, "cat /etc/machine-id").strip()
    one_time_password(cloud, host, vm)
    cloud.succeeded(cloud.verb(vm, "shutdown"))
    assert host.virsh("domstate", vm["id"]) == "shut off"
    cloud.delete(vm)
    found = look(host)
    assert "domain" not in found
    assert not [name for name in found["file"] if not name.startswith(("img-", "probe-"))]
