"""Reading virtual machines: one's own, or all for admins. What is shown as status is derived here."""

import uuid
from typing import Any

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When
from django.db.models.functions import Greatest

from apps.accounts.models import User
from apps.compute.growth import Numbers
from apps.compute.models import VM, Nic, Phase, Power, Size
from apps.errors import NotFound
from apps.hosts.models import HostStatus
from apps.placement.selectors import placement_of, placement_trace

STATUSES = ("creating", "running", "stopped", "paused", "error", "deleting", "unknown", "trashed")

STATUS = Case(
    When(phase=Phase.DELETING, then=Value("deleting")),
    When(phase=Phase.TRASHED, then=Value("trashed")),
    When(phase=Phase.ERROR, then=Value("error")),
    When(phase=Phase.CREATING, then=Value("creating")),
    When(missing=True, then=Value("error")),
    When(~Q(host__status=HostStatus.UP), then=Value("unknown")),
    When(power=Power.RUNNING, then=Value("running")),
    When(power=Power.PAUSED, then=Value("paused")),
    When(power=Power.SHUTOFF, then=Value("stopped")),
    When(power=Power.CRASHED, then=Value("error")),
    default=Value("unknown"),
    output_field=CharField(),
)

# A VM is seen alone, by an operation or an event, and with its whole host. What is not ready yet was not looked at.
SEEN_AT = Case(When(phase=Phase.READY, then=Greatest("observed_at", "host__observed_at")), default=F("observed_at"))

ROW = [
    "id", "name", "status", "reason", "power", "seen_at", "desired_power", "host_id", "host__name", "size_id", "vcpus",
    "memory_mib", "disk_gib", "max_vcpus", "max_memory_mib", "image__name", "observed_addresses", "protected",
    "start_on_boot", "boot_order", "tags", "notes", "created_at", "image__architecture", "firmware", "devices",
    "rescue_image_id", "cdrom__name", "policy__name", "group__name", "cpu_features", "trashed_until",
]  # fmt: skip


def vms_for(*, actor: User) -> QuerySet[VM]:
    """The VMs this person may see, with ``status`` and ``seen_at``; also those in the trash.

    Host, image and NICs come with them, in a constant number of queries.
    """
    found = VM.objects.annotate(status=STATUS, seen_at=SEEN_AT)
    found = found.select_related("host", "image", "size", "owner", "rescue_image", "cdrom", "policy", "group")
    found = found.prefetch_related("nics")
    return found if actor.is_admin else found.filter(owner=actor)


def vm_rows(vms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a list (``.values(*ROW)``) with addresses, in two queries and without an object for each row."""
    reserved: dict[uuid.UUID, list[str]] = {}
    cards = Nic.objects.filter(vm__in=[vm["id"] for vm in vms], ip__isnull=False)
    for vm_id, ip in cards.values_list("vm_id", "ip"):
        reserved.setdefault(vm_id, []).append(str(ip))
    return [{**vm, "addresses": _addresses(reserved.get(vm["id"], []), vm["observed_addresses"])} for vm in vms]


def vm_row(*, actor: User, vm_id: uuid.UUID) -> dict[str, Any]:
    """One VM as a row of the list. Raises ``NotFound`` as ``vm_for`` does."""
    found = vms_for(actor=actor).prefetch_related(None).filter(pk=vm_id)
    rows = vm_rows(list(found.values(*ROW)))
    if not rows:
        raise _no_such_vm()
    return rows[0]


def _no_such_vm() -> NotFound:
    return NotFound("vm.not_found", "There is no virtual machine with this id.")


def vm_for(*, actor: User, vm_id: uuid.UUID, lock: bool = False) -> VM:
    """One VM, locked for the transaction if asked. Raises ``NotFound`` for a foreign one as for a missing one."""
    # PostgreSQL plans a join of nine tables for longer than it reads one row of each.
    found = vms_for(actor=actor).select_related(None).select_related("host", "image").filter(pk=vm_id)
    vm = (found.select_for_update(of=("self",)) if lock else found).first()
    if vm is None:
        raise _no_such_vm()
    return vm


def numbers_of(vm: VM) -> Numbers:
    """What it has, as a resize compares it."""
    return Numbers(
        vcpus=vm.vcpus,
        memory_mib=vm.memory_mib,
        disk_gib=vm.disk_gib,
        max_vcpus=vm.max_vcpus,
        max_memory_mib=vm.max_memory_mib,
    )


def sizes() -> QuerySet[Size]:
    """The catalogue, smallest first."""
    return Size.objects.select_related("policy").order_by("vcpus", "memory_mib")


def vm_addresses(vm: VM) -> list[dict[str, str]]:
    """Addresses with their source: what we reserved, then what the host saw."""
    return _addresses([nic.ip for nic in vm.nics.all() if nic.ip], vm.observed_addresses)


def _addresses(reserved: list[str], observed: list[dict[str, str]]) -> list[dict[str, str]]:
    known = [{"ip": ip, "source": "reserved"} for ip in reserved]
    return known + [item for item in observed if item["ip"] not in reserved]


def vm_placement(*, actor: User, vm: VM) -> dict[str, Any] | None:
    """Why the VM is where it is, as a trace, or ``problem``; the hosts' names in it are for admins."""
    placement = placement_of(consumer_id=vm.pk) if actor.is_admin else None
    if placement is None:
        return None
    trace, problem = placement_trace(placement=placement)
    return {"policy": placement.policy, "problem": problem, **(trace or {}), "chosen": placement.host_name}


def vms_by_status(*, actor: User) -> dict[str, int]:
    """How many VMs stand in each status, without the trash."""
    from django.db.models import Count

    there = vms_for(actor=actor).exclude(phase=Phase.TRASHED).order_by()
    counted = there.values(shown=F("status")).annotate(number=Count("id"))
    return {row["shown"]: row["number"] for row in counted}
