"""What is true whenever nothing is being done: API, counters in PostgreSQL and hosts tell the same story."""

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.waiting import wait_for

SETTLE_SECONDS = 60
LOOK = """
set -e
pool=$(virsh -q pool-list --all --name | grep -o '^cs-[0-9a-f]*')
files=$(ls "/var/lib/libvirt/images/$pool")
echo pools $(virsh -q pool-list --all --name | grep -c '^cs-')
echo networks $(virsh -q net-list --all --name | grep -c '^cs-')
echo qemus $(ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c 'bin/qemu-system')
virsh -q list --all --uuid | sed '/^$/d;s/^/domain /'
virsh -q list --uuid --state-running | sed '/^$/d;s/^/running /'
virsh -q list --uuid --state-paused | sed '/^$/d;s/^/paused /'
echo "$files" | sed '/^$/d;s/^/file /'
"""
RECORDS = {
    "an operation is still active": """
        SELECT kind, target_name, status, step FROM operations_operation WHERE status IN ('queued', 'running')""",
    "an operation failed without a reason": """
        SELECT kind, target_name, error_code, error_message FROM operations_operation
        WHERE status = 'failed' AND (error_code IN ('', 'internal') OR error_message = '')""",
    "a failed create cannot be retried": """
        SELECT o.target_name FROM operations_operation o JOIN compute_vm v ON v.id = o.target_id
        WHERE o.kind = 'vm.create' AND o.status IN ('failed', 'cancelled') AND NOT o.retryable""",
    "a host's counters are not the sum of its allocations": """
        SELECT h.name, h.vcpus_claimed, h.memory_claimed_mib, h.disk_claimed_gib, count(a.id) FROM hosts_host h
        LEFT JOIN hosts_allocation a ON a.host_id = h.id GROUP BY h.id
        HAVING h.vcpus_claimed <> coalesce(sum(a.vcpus), 0) OR h.disk_claimed_gib <> coalesce(sum(a.disk_gib), 0)
            OR h.memory_claimed_mib <> coalesce(sum(a.memory_mib), 0)""",
    "a claim without its VM": """
        SELECT label FROM hosts_allocation WHERE kind = 'vm' AND consumer_id NOT IN (SELECT id FROM compute_vm)""",
    "a VM on a host without a claim": """
        SELECT name FROM compute_vm WHERE host_id IS NOT NULL
            AND id NOT IN (SELECT consumer_id FROM hosts_allocation WHERE kind = 'vm')""",
    "a claim without its volume": """
        SELECT label FROM hosts_allocation
        WHERE kind = 'volume' AND consumer_id NOT IN (SELECT id FROM storage_volume)""",
    "a volume on a host without a claim of its size": """
        SELECT v.name FROM storage_volume v
        LEFT JOIN hosts_allocation a ON a.consumer_id = v.id AND a.host_id = v.host_id
        WHERE v.kind = 'data' AND v.host_id IS NOT NULL AND a.disk_gib IS DISTINCT FROM v.size_gib""",
    "an attachment that is neither here nor there": """
        SELECT volume_id, state FROM compute_volumeattachment WHERE state <> 'attached'""",
    "an address without its VM": """
        SELECT ip FROM network_address WHERE consumer_id NOT IN (SELECT id FROM compute_vm)""",
    "a disk without its VM": """
        SELECT id FROM storage_volume WHERE kind = 'root'
        AND id NOT IN (SELECT root_volume_id FROM compute_vm WHERE root_volume_id IS NOT NULL)""",
    "a VM that is neither ready nor failed": """
        SELECT name, phase FROM compute_vm WHERE phase NOT IN ('ready', 'error')""",
    "a VM that failed without a reason": """
        SELECT name FROM compute_vm WHERE phase = 'error' AND reason = ''""",
}


def assert_clean(cloud: Cloud, hosts: Sequence[LabHost]) -> None:
    """Nothing lost, nothing left over, nothing twice; observations may take a moment to arrive."""

    def clean() -> bool:
        nonlocal wrong
        wrong = [*records(cloud), *on_hosts(cloud, hosts)]
        return not wrong

    wrong: list[str] = []
    try:
        wait_for(clean, seconds=SETTLE_SECONDS, what="records and hosts to agree", every=0.5)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *wrong, cloud.logs()])) from error


def records(cloud: Cloud) -> list[str]:
    """What is wrong in PostgreSQL alone."""
    return [f"{what}: {row}" for what, query in RECORDS.items() for row in cloud.sql(query)]


def look(host: LabHost) -> dict[str, list[str]]:
    """What is on a host: words by kind."""
    found: dict[str, list[str]] = {}
    for line in host.run("sh", "-c", LOOK).stdout.splitlines():
        kind, _, word = line.partition(" ")
        found.setdefault(kind, []).append(word)
    return found


def on_hosts(cloud: Cloud, hosts: Sequence[LabHost]) -> list[str]:
    """What is wrong between the API and the hosts."""
    vms = cloud.results("vms/?limit=200")
    known = {vm["id"]: vm for vm in vms}
    volumes = cloud.results("volumes/?limit=200")
    wrong: list[str] = []
    seen: Counter[str] = Counter()
    for host in hosts:
        found = look(host)
        seen.update(name for name in found.get("domain", []) if name in known)
        wrong += [f"{host.name}: {text}" for text in _compare(host, found, known, volumes)]
    wrong += [f"{known[vm_id]['name']} is on {times} hosts" for vm_id, times in seen.items() if times > 1]
    return wrong


def _compare(
    host: LabHost, found: dict[str, list[str]], known: dict[str, dict[str, Any]], volumes: list[dict[str, Any]]
) -> Iterator[str]:
    here = {vm_id: vm for vm_id, vm in known.items() if vm["host"] == host.name}
    domains = set(found.get("domain", []))
    on = {*found.get("running", []), *found.get("paused", [])}
    disks = {f"vol-{uuid.uuid5(uuid.UUID(vm_id), 'root')}.qcow2" for vm_id in here}
    disks |= {f"vol-{volume['id']}.qcow2" for volume in volumes if volume["host"] == host.name}
    wanted = disks | {f"seed-{vm_id}.iso" for vm_id in here}
    rescues = {f"rescue-{vm_id}.{end}" for vm_id, vm in here.items() if vm["rescued"] for end in ("qcow2", "iso")}
    if found["pools"] + found["networks"] != ["1", "1"]:
        yield f"{found['pools']} pools and {found['networks']} networks of ours"
    if found["qemus"] != [str(len(on))]:
        yield f"{found['qemus'][0]} QEMU processes for {len(on)} running guests"
    for domain in domains - here.keys():
        if "cloudsite" in host.virsh("dumpxml", domain, check=False):
            yield f"a domain of ours that no VM names: {domain}"
    for vm_id, vm in here.items():
        for text in _compare_vm(vm, vm_id, domains, found):
            yield f"{vm['name']}: {text}"
    for name in found["file"]:
        if name not in wanted | rescues and not name.startswith(("img-", "probe-")):
            yield f"a file that no VM names: {name}"


def _compare_vm(vm: dict[str, Any], vm_id: str, domains: set[str], found: dict[str, list[str]]) -> list[str]:
    if vm["status"] == "error":
        return []
    if vm_id not in domains:
        return [f"is {vm['status']}, but its host does not know it"]
    seen = next((state for state in ("running", "paused") if vm_id in found.get(state, [])), "stopped")
    return [] if vm["status"] == seen else [f"is {seen}, but shown as {vm['status']}"]
