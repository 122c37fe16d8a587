"""Reaching into guests and at their hosts' virsh, as somebody beside Cloudsite would."""

import json
from typing import Any

from lab.host import Host as LabHost
from tests.cloud import Cloud

SEEN_SECONDS = 10
_CONSOLE = """
import json, os, select, sys, time
def expect(tty, prompt):
    output, end = b"", time.monotonic() + 30
    while prompt not in output:
        ready, _, _ = select.select([tty], [], [], max(0, end - time.monotonic()))
        if not ready:
            sys.exit(f"no {prompt} in {output}")
        output += os.read(tty, 4096)
tty = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
os.write(tty, b"\\n")
for prompt, answer in json.loads(sys.argv[2]):
    expect(tty, prompt.encode())
    os.write(tty, answer.encode() + b"\\n")
"""


# One process that asks again and again: a new one for each question took the guest's share of the CPU.
_AWAIT = """
import http.client, select, sys, time, urllib.request
url, begins, end = sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    try:
        answer = urllib.request.urlopen(url, timeout=3).read().decode().strip()
    except (OSError, http.client.HTTPException):
        answer = ""
    if answer and answer.startswith(begins):
        print(answer)
        break
    select.select([], [], [], 0.2)
"""


def get(host: LabHost, url: str, *, timeout: int = 3) -> str:
    """What a web server answers, asked from a host; nothing if it does not."""
    code = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read().decode())"
    argv = ("/usr/bin/python3", "-c", code, url, str(timeout))
    return host.run(*argv, check=False, timeout=timeout + 10).stdout.strip()


def await_answer(host: LabHost, url: str, *, seconds: float, what: str, begins: str = "") -> str:
    """What a web server answers, asked from a host until it answers something that begins so."""
    argv = ("/usr/bin/python3", "-c", _AWAIT, url, begins, str(seconds))
    answer = host.run(*argv, timeout=seconds + 10).stdout.strip()
    assert answer, f"waited {seconds:g} s in vain for {what}"
    return answer


def reserved(vm: dict[str, Any]) -> str:
    """The address that we reserved for a VM."""
    return next(str(item["ip"]) for item in vm["addresses"] if item["source"] == "reserved")


def wait_booted(host: LabHost, vm: dict[str, Any]) -> str:
    """What the guest's own web server says, once it has booted: host name and boot id."""
    try:
        return await_answer(host, f"http://{reserved(vm)}/", seconds=90, what="the guest's web server")
    except AssertionError as silent:
        silent.add_note(where_it_is(host, vm))
        raise


def where_it_is(host: LabHost, vm: dict[str, Any]) -> str:
    """For a failed test, what a guest that does not answer was doing: processors (twice), traffic, neighbours."""
    look = f"""
    virsh domstate {vm["id"]}
    for again in 1 2; do virsh qemu-monitor-command --hmp {vm["id"]} 'info registers -a' | grep -E 'CPU#|RIP'; done
    for nic in $(virsh domiflist {vm["id"]} | grep -oE '(vnet|tap)[0-9]+'); do virsh domifstat {vm["id"]} $nic; done
    ip neigh; cat /var/lib/libvirt/dnsmasq/*.status
    """
    return host.run("sh", "-c", look, check=False, timeout=60).stdout


def type_into(host: LabHost, vm: dict[str, Any], command: str) -> None:
    """Sign in on the serial console and type a command."""
    answer(host, vm, ("login:", "root"), ("# ", command))


def answer(host: LabHost, vm: dict[str, Any], *turns: tuple[str, str]) -> None:
    """Wait on the serial console for each prompt, and type the line that belongs to it."""
    tty = host.virsh("ttyconsole", vm["id"])
    host.run("/usr/bin/python3", "-c", _CONSOLE, tty, json.dumps(turns), timeout=60)


def event_kinds(cloud: Cloud, vm: dict[str, Any]) -> list[str]:
    """The kinds of all events about a VM, oldest first."""
    return [str(event["kind"]) for event in reversed(cloud.results(f"events/?target={vm['id']}&limit=200"))]


def wish(cloud: Cloud, vm: dict[str, Any]) -> str:
    """Whether the VM is meant to run: ``on`` or ``off``."""
    return str(cloud.vm(vm["id"])["desired_power"])
