"""Writing virtual machines on the side of people: create, power, change, delete.

Every function writes the wish, the operation and the event in one transaction and returns the plan beside
them; a dry run is the same call rolled back.
"""

import uuid
from dataclasses import replace

from django.db import IntegrityError, transaction

from apps.accounts.models import User
from apps.accounts.selectors import ssh_keys_wanted
from apps.compute.models import VM, DesiredPower, Nic, Phase
from apps.compute.services.machine import Machine, machine_wanted
from apps.compute.services.numbers import check_maxima, demand_wanted
from apps.compute.services.trash import delete_for_good, goes_to_trash, trash
from apps.compute.services.wish import VMChange as VMChange
from apps.compute.services.wish import act, locked, paused, ready, running
from apps.compute.user_data import user_data_check
from apps.envelope.mutation import Plan
from apps.errors import Conflict, refused
from apps.events.services import event_record
from apps.hosts.capacity import Demand
from apps.hosts.models import Allocation, Host
from apps.hosts.selectors import host_wanted
from apps.names import valid_cpu_features, valid_name
from apps.network.models import Network
from apps.network.selectors import network_wanted
from apps.operations.models import Operation
from apps.operations.services import operation_create
from apps.placement.groups import group_wanted
from apps.placement.models import PlacementGroup, Policy
from apps.placement.policies import policy_wanted
from apps.placement.reservations import Taken, reservation_take
from apps.placement.services import placement_preview, wish_of
from apps.storage.models import Image
from apps.storage.selectors import image_wanted

MOST_BOOT_ORDER = 9999
MOST_TAGS = 20


def vm_create(
    *,
    actor: User,
    name: str,
    image: str,
    size: str | None = None,
    vcpus: int | None = None,
    memory_mib: int | None = None,
    disk_gib: int | None = None,
    max_vcpus: int | None = None,
    max_memory_mib: int | None = None,
    ssh_keys: list[str] | None = None,
    user_data: str = "",
    host: str | None = None,
    tags: list[str] | None = None,
    start_on_boot: bool = True,
    firmware: str | None = None,
    devices: str | None = None,
    network: str | None = None,
    cpu_features: list[str] | None = None,
    policy: str | None = None,
    group: str | None = None,
    placement: uuid.UUID | None = None,
) -> VMChange:
    """Wish for a VM of a size or of own numbers. "No host fits" is said at once; room is claimed by a worker, or was
    reserved before (``placement``), which then chose host, policy and group.

    Raises ``Refused`` naming the field, ``Conflict`` for a name that is taken.
    """
    valid_name("name", name)
    user_data_check(user_data)
    source = image_wanted(actor=actor, reference=image)
    chosen_size, demand = demand_wanted(size=size, vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib)
    check_maxima(vcpus=demand.vcpus, memory_mib=demand.memory_mib, max_vcpus=max_vcpus, max_memory_mib=max_memory_mib)
    check_fits_image(demand, source, of_size=chosen_size is not None)
    if user_data and not source.cloud_init:
        raise refused("user_data", "user_data.no_cloud_init", f"{source.name} has no cloud-init to read it.")
    keys = ssh_keys_wanted(actor=actor, references=ssh_keys or [])
    wanted_host = host_wanted(actor=actor, reference=host) if host else None
    wanted_network = network_wanted(actor=actor, reference=network, lock=True) if network else None
    _check_network(wanted_network, wanted_host)
    features = valid_cpu_features(cpu_features or [])
    machine = machine_wanted(image=source, firmware=firmware, devices=devices)
    claim = replace(demand, memory_mib=max_memory_mib or demand.memory_mib)
    if placement is not None:
        where = wanted_network.host if wanted_network else wanted_host
        needs = (*features, *source.cpu_features)
        place = _reserved(actor, placement, name, claim, source, machine, needs, where, policy, group)
    else:
        of_size = chosen_size.policy if chosen_size else None
        chosen = policy_wanted(reference=policy) if policy else of_size
        joined = group_wanted(actor=actor, reference=group) if group else None
        place = _place(claim, source, machine, features, wanted_network, wanted_host, chosen, joined)
    vm = VM(
        id=place.id,
        owner=actor,
        name=name,
        created_name=name,
        size=chosen_size,
        vcpus=demand.vcpus,
        memory_mib=demand.memory_mib,
        disk_gib=demand.disk_gib,
        max_vcpus=max_vcpus,
        max_memory_mib=max_memory_mib,
        image=source,
        cdrom=source if source.is_iso else None,
        firmware=machine.firmware,
        devices=machine.devices,
        policy=place.policy,
        group=place.group,
        cpu_features=list(features),
        ssh_keys=[key.public_key for key in keys],
        user_data=user_data,
        tags=checked_tags(tags or []),
        start_on_boot=start_on_boot,
    )
    save_new(vm)
    if wanted_network is not None:
        Nic.objects.create(vm=vm, network=wanted_network)
    operation = operation_create(
        kind="vm.create",
        target_type="vm",
        target=vm,
        actor=actor,
        params={"host": str(wanted_host.pk)} if wanted_host else {},
    )
    return VMChange(vm=vm, operation=operation, plan=_create_plan(actor, vm, place.host))


def _place(
    claim: Demand,
    image: Image,
    machine: Machine,
    features: tuple[str, ...],
    network: Network | None,
    host: Host | None,
    chosen: Policy | None,
    group: PlacementGroup | None,
) -> Taken:
    """Where it would go now; a worker decides."""
    wish = wish_of(
        chosen=chosen,
        demand=claim,
        architecture=image.architecture,
        firmware=machine.firmware,
        image_id=image.pk,
        host_id=host.pk if host else None,
        group=group,
        network=network,
        cpu_features=tuple(sorted({*features, *image.cpu_features})),
    )
    decision = placement_preview(wish=wish)
    return Taken(id=uuid.uuid4(), host=Host.objects.get(pk=decision.best.id), policy=chosen, group=group)


def _reserved(
    actor: User,
    placement: uuid.UUID,
    name: str,
    claim: Demand,
    image: Image,
    machine: Machine,
    needs: tuple[str, ...],
    host: Host | None,
    policy: str | None,
    group: str | None,
) -> Taken:
    """The room of a reservation, which has chosen its host already."""
    if policy is not None:
        raise refused("policy", "placement.and_policy", "The reservation was made by its own policy. Leave policy out.")
    if group is not None:
        raise refused("group", "placement.and_group", "The reservation says which group it is of. Leave group out.")
    taken = reservation_take(
        actor=actor,
        reference=placement,
        name=name,
        demand=claim,
        architecture=image.architecture,
        firmware=machine.firmware,
        cpu_features=needs,
    )
    if host is not None and host.pk != taken.host.pk:
        raise refused("placement", "placement.other_host", f"The room is on another host than {host.name}.")
    return taken


def _check_network(network: Network | None, wanted: Host | None) -> None:
    """A network is on one host, and so is who wants to be in it."""
    if network is not None and wanted is not None and wanted.pk != network.host_id:
        raise refused("network", "network.other_host", f"{network.name} is on another host than {wanted.name}.")


def _create_plan(actor: User, vm: VM, host: Host) -> Plan:
    where = host.name if actor.is_admin else "a host"
    changes = [
        f"claim {vm.vcpus} vCPU, {vm.most_memory_mib} MiB memory and {vm.disk_gib} GiB disk on {where}",
        f"make an empty disk of {vm.disk_gib} GiB, and boot from the CD {vm.image}"
        if vm.cdrom
        else f"make a {vm.disk_gib} GiB disk from the image {vm.image}",
        "reserve an address",
        f"define {vm.libvirt_name} ({vm.architecture}, {vm.get_firmware_display()}) and start it",
    ]
    if vm.group:
        changes.append(f"have it in the group {vm.group} ({vm.group.rule})")
    if vm.image and not vm.image.copies.filter(host=host, ready=True).exists():
        changes.insert(1, f"send the image {vm.image} to {where}")
    return Plan(host=host.name if actor.is_admin else None, changes=tuple(changes))


def check_fits_image(demand: Demand, image: Image, *, of_size: bool) -> None:
    """A disk smaller than the image or memory that it cannot boot with is refused before anything is made."""
    disk, memory = ("size", "size") if of_size else ("disk_gib", "memory_mib")
    if demand.disk_gib < image.min_disk_gib:
        raise refused(disk, "vm.disk_too_small", f"{image.name} needs a disk of {image.min_disk_gib} GiB.")
    if demand.memory_mib < image.min_memory_mib:
        raise refused(memory, "vm.memory_too_small", f"{image.name} needs {image.min_memory_mib} MiB of memory.")


def checked_tags(tags: list[str]) -> list[str]:
    """The same tags, each once. Raises ``Refused`` for what is no tag, or too many."""
    if len(tags) > MOST_TAGS:
        raise refused("tags", "vm.tags", f"A VM has at most {MOST_TAGS} tags.")
    for tag in tags:
        if not 1 <= len(tag) <= 63 or not tag.isprintable() or tag != tag.strip() or "," in tag:
            raise refused("tags", "vm.tags", "A tag has 1 to 63 printable characters, without commas.")
    return list(dict.fromkeys(tags))


def save_new(vm: VM) -> None:
    """The new row. Raises ``Refused`` for a name that its owner already uses."""
    try:
        with transaction.atomic():
            vm.save(force_insert=True)
    except IntegrityError as error:
        where = " in the trash" if VM.objects.filter(owner=vm.owner, name=vm.name, phase=Phase.TRASHED).exists() else ""
        raise refused("name", "vm.name_taken", f"You already have a VM named {vm.name!r}{where}.") from error


@transaction.atomic
def vm_start(*, actor: User, vm_id: uuid.UUID) -> VMChange:
    """Wish it on. One that was undefined on its host is defined again from our record."""
    vm = ready(locked(actor=actor, vm_id=vm_id), may_be_missing=True)
    return act(vm=vm, actor=actor, kind="vm.start", change=f"start {vm.name}", wish=DesiredPower.ON)


def vm_start_after_boot(*, vm: VM) -> Operation | None:
    """Start a VM that ran when its host went down. None: something else is being done with it."""
    params = {"boot_order": vm.boot_order}
    try:
        return operation_create(
            kind="vm.start", target_type="vm", target=vm, actor=None, params=params, host_id=vm.host_id
        )
    except Conflict:
        return None


@transaction.atomic
def vm_shutdown(*, actor: User, vm_id: uuid.UUID, timeout_s: int = 90, on_timeout: str = "leave") -> VMChange:
    """Press its power button and wait ``timeout_s`` seconds; then leave it, or pull the plug."""
    if not 1 <= timeout_s <= 600:
        raise refused("timeout_s", "vm.timeout", "timeout_s lies between 1 and 600 seconds.")
    if on_timeout not in ("leave", "power-off"):
        raise refused("on_timeout", "vm.on_timeout", "on_timeout is leave or power-off.")
    vm = ready(locked(actor=actor, vm_id=vm_id))
    then = "then pull the plug" if on_timeout == "power-off" else "then leave it"
    params: dict[str, object] = {"timeout_s": timeout_s, "on_timeout": on_timeout}
    change = f"ask {vm.name} to shut down, wait {timeout_s} s, {then}"
    return act(vm=vm, actor=actor, kind="vm.shutdown", change=change, wish=DesiredPower.OFF, params=params)


@transaction.atomic
def vm_power_off(*, actor: User, vm_id: uuid.UUID) -> VMChange:
    """Pull the plug: the guest is not asked, unsaved data is lost."""
    vm = ready(locked(actor=actor, vm_id=vm_id))
    change = f"pull the plug of {vm.name}; what it has not written is lost"
    return act(vm=vm, actor=actor, kind="vm.power-off", change=change, wish=DesiredPower.OFF, reversible=False)


@transaction.atomic
def vm_reboot(*, actor: User, vm_id: uuid.UUID) -> VMChange:
    """Ask the guest to restart. Raises ``Conflict`` when it is off."""
    vm = running(ready(locked(actor=actor, vm_id=vm_id)))
    return act(vm=vm, actor=actor, kind="vm.reboot", change=f"ask {vm.name} to restart", wish=DesiredPower.ON)


@transaction.atomic
def vm_reset(*, actor: User, vm_id: uuid.UUID) -> VMChange:
    """Press the reset button: the guest is not asked. Raises ``Conflict`` when it is off."""
    vm = running(ready(locked(actor=actor, vm_id=vm_id)))
    change = f"press the reset button of {vm.name}; what it has not written is lost"
    return act(vm=vm, actor=actor, kind="vm.reset", change=change, wish=DesiredPower.ON, reversible=False)


@transaction.atomic
def vm_pause(*, actor: User, vm_id: uuid.UUID) -> VMChange:
    """Hold its processors; its memory stays where it is. Raises ``Conflict`` when it does not run."""
    vm = running(ready(locked(actor=actor, vm_id=vm_id)))
    return act(vm=vm, actor=actor, kind="vm.pause", change=f"pause {vm.name}", wish=DesiredPower.ON)


@transaction.atomic
def vm_resume(*, actor: User, vm_id: uuid.UUID) -> VMChange:
    """Let a paused one run on. Raises ``Conflict`` when it is not paused."""
    vm = paused(ready(locked(actor=actor, vm_id=vm_id)))
    return act(vm=vm, actor=actor, kind="vm.resume", change=f"let {vm.name} run on", wish=DesiredPower.ON)


@transaction.atomic
def vm_delete(*, actor: User, vm_id: uuid.UUID, permanent: bool = False) -> VMChange:
    """Put the VM into the trash, or delete it with its disk. An active operation is asked to stop first.

    Raises ``Conflict`` if it is protected; and if it is in the trash, unless ``permanent``: a DELETE that a client
    sends again must not destroy what the first one has kept.
    """
    vm = locked(actor=actor, vm_id=vm_id)
    if vm.protected:
        raise Conflict("vm.protected", f"{vm.name} is protected. Take the protection off first.")
    if vm.phase == Phase.TRASHED and not permanent:
        raise Conflict("vm.in_trash", f"{vm.name} is in the trash already. Restore it, or delete it with permanent.")
    if goes_to_trash(vm) and not permanent:
        return trash(actor=actor, vm=vm)
    return delete_for_good(actor=actor, vm=vm)


@transaction.atomic
def vm_update(
    *,
    actor: User,
    vm_id: uuid.UUID,
    protected: bool | None = None,
    start_on_boot: bool | None = None,
    boot_order: int | None = None,
    tags: list[str] | None = None,
    notes: str | None = None,
) -> VM:
    """Change what only our records know. No host is touched."""
    vm = locked(actor=actor, vm_id=vm_id)
    if notes is not None and len(notes) > 10_000:
        raise refused("notes", "vm.notes", "Notes have at most 10000 characters.")
    if protected and vm.phase == Phase.TRASHED:
        raise Conflict("vm.in_trash", f"{vm.name} is in the trash. Restore it first.")
    if boot_order is not None and not 0 <= boot_order <= MOST_BOOT_ORDER:
        raise refused("boot_order", "vm.boot_order", f"boot_order lies between 0 and {MOST_BOOT_ORDER}.")
    new = {
        "protected": protected,
        "start_on_boot": start_on_boot,
        "boot_order": boot_order,
        "tags": checked_tags(tags) if tags is not None else None,
        "notes": notes,
    }
    changed = {field: value for field, value in new.items() if value is not None and value != getattr(vm, field)}
    if changed:
        VM.objects.filter(pk=vm.pk).update(**changed)
        for field, value in changed.items():
            setattr(vm, field, value)
        words = ", ".join(sorted(changed))
        event_record(kind="vm.update", target_type="vm", target=vm, actor=actor, message=f"Changed: {words}")
    return vm


@transaction.atomic
def vm_rename(*, actor: User, vm_id: uuid.UUID, name: str) -> VM:
    """Give it another title. The libvirt name and the host name inside the guest stay."""
    valid_name("name", name)
    vm = locked(actor=actor, vm_id=vm_id)
    try:
        with transaction.atomic():
            VM.objects.filter(pk=vm.pk).update(name=name)
            Allocation.objects.filter(consumer_id=vm.pk).update(label=name)
    except IntegrityError as error:
        raise refused("name", "vm.name_taken", f"There is already a VM named {name!r}.") from error
    old, vm.name = vm.name, name
    event_record(kind="vm.rename", target_type="vm", target=vm, actor=actor, message=f"Renamed from {old}")
    return vm
