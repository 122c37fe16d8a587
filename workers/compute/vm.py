"""Creating and deleting virtual machines. Every handler starts at the top and may run any number of times:
observe, compare, act, observe, record."""

import uuid

from django.db import transaction

from apps.compute.models import VM, Phase, Power
from apps.hosts.capacity import capacity_release
from apps.hosts.models import Host
from apps.network.models import Network
from apps.network.services import address_release
from apps.operations import timeouts
from apps.operations.claims import host_has_a_slot
from apps.operations.models import Operation
from apps.placement.services import HostsAway, placement_claim, wish_of
from apps.storage.models import Volume
from hypervisor.interface import Hypervisor
from workers.compute.address import lease_end
from workers.compute.domain import (
    domain_spec,
    ensure_address,
    ensure_disks,
    ensure_image,
    remove_leftovers,
    root_volume_id,
)
from workers.compute.port_forward import forwards_close
from workers.compute.target import take_over, vm_of
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run
from workers.observations import now


def vm_create(run: Run) -> None:
    """Claim, address, disk, seed, define, start. A worker that dies anywhere is followed by one that goes on."""
    vm = vm_of(run)
    if vm is None:
        return
    host = claim_place(run, vm)
    hypervisor = hypervisor_for(host)
    take_over(run, vm)
    with run.step("image", f"Waiting for the image on {host.name}", progress=15, host_id=host.pk):
        ensure_image(run, vm, host, hypervisor)
    with run.step("disk", "Making the disk", progress=30):
        ensure_disks(run, vm, host, hypervisor)
    build(run, vm, host, hypervisor)


def claim_place(run: Run, vm: VM) -> Host:
    """The host of a new VM, with room on it."""
    with run.step("place", "Choosing a host", progress=5):
        try:
            vm.host = host = _place(run, vm)
        except HostsAway as error:
            raise Postpone(error.detail, seconds=timeouts.back_off(3)) from error
    return host


def build(run: Run, vm: VM, host: Host, hypervisor: Hypervisor) -> None:
    """Make a running machine of disks that are there."""
    with run.step("address", "Reserving an address", progress=65):
        nic = ensure_address(run, vm, host)
    with run.step("define", "Defining the machine", progress=75):
        hypervisor.ensure_defined(domain_spec(vm, host, nic))
    with run.step("start", "Starting", progress=80):
        hypervisor.ensure_running(vm.pk)
    with run.step("verify", "Looking whether it runs", progress=95):
        read_at = now()
        seen = hypervisor.domain(vm.pk)
    power = seen.power.value if seen else Power.UNKNOWN
    with run.write():
        VM.objects.filter(pk=vm.pk, phase__in=[Phase.CREATING, Phase.ERROR]).update(
            phase=Phase.READY, reason="", power=power, missing=False, observed_at=read_at
        )


def _place(run: Run, vm: VM) -> Host:
    """Claim room, and know the host, in one transaction with the proof that the operation is still ours.

    From then on it needs one of the host's slots, which a claim that knew no host could not ask for.
    """
    wanted, known = run.operation.params.get("host"), run.operation.host_id
    network = Network.objects.select_related("host").filter(nics__vm=vm, owner__isnull=False).first()
    if wanted:
        _wait_for_wanted(run, uuid.UUID(wanted))
    elif network:
        _wait_for_wanted(run, network.host_id)
    with run.write():
        host = placement_claim(
            consumer_id=vm.pk,
            consumer_name=vm.name,
            owner_id=vm.owner_id,
            wish=wish_of(
                chosen=vm.policy,
                demand=vm.demand,
                architecture=vm.architecture,
                firmware=vm.firmware,
                image_id=vm.image_id,
                host_id=uuid.UUID(wanted) if wanted else None,
                group=vm.group,
                network=network,
                cpu_features=vm.cpu_features_wanted,
            ),
        )
        VM.objects.filter(pk=vm.pk).update(host=host)
        Operation.objects.filter(pk=run.operation.pk).update(host_id=host.pk)
        run.operation.host_id = host.pk
        its_turn = known is not None or host_has_a_slot(host_id=host.pk, operation_id=run.operation.pk)
    if not its_turn:
        raise Postpone(f"Waiting for its turn on {host.name}", seconds=0)
    return host


def _wait_for_wanted(run: Run, host_id: uuid.UUID) -> None:
    """A host that was asked for, by name or by a network of its own, is waited for where it does not answer; the row
    then says for which.
    """
    host = Host.objects.filter(pk=host_id).first()
    if host is None or host.is_up:
        return
    with run.write():
        Operation.objects.filter(pk=run.operation.pk).update(host_id=host.pk)
        run.operation.host_id = host.pk
    hypervisor_for(host)


def vm_create_failed(operation: Operation, message: str) -> None:
    """The VM stays visible with the reason; retry goes on where it stopped, delete takes everything away."""
    VM.objects.filter(pk=operation.target_id, phase__in=[Phase.CREATING, Phase.ERROR]).update(
        phase=Phase.ERROR, reason=message[:500]
    )


def vm_delete(run: Run) -> None:
    """Take everything away and then the row. Steps are independent; what is missing already is fine."""
    if (vm := vm_of(run)) is None:
        return
    if vm.host is not None:
        hypervisor = hypervisor_for(vm.host)
        take_over(run, vm)
        with run.step("undefine", "Removing the machine", progress=20):
            hypervisor.power_off(vm.pk)
            forwards_close(vm, hypervisor)
            hypervisor.undefine(vm.pk)
            for nic in vm.nics.select_related("network"):
                lease_end(nic, hypervisor)
        with run.step("disk", "Deleting its disk", progress=60):
            remove_leftovers(vm, hypervisor)
    with run.step("forget", "Giving back its claim", progress=90), run.write():
        vm_forget(vm)


def vm_forget(vm: VM) -> None:
    """Give back claim, address and disk, and delete the row, in the caller's transaction."""
    with transaction.atomic():
        capacity_release(consumer_id=vm.pk)
        address_release(consumer_id=vm.pk)
        vm.nics.all().delete()
        VM.objects.filter(pk=vm.pk).delete()
        Volume.objects.filter(pk=root_volume_id(vm)).delete()


def vm_delete_failed(operation: Operation, message: str) -> None:
    """What could not be taken away stays visible and can be deleted again."""
    VM.objects.filter(pk=operation.target_id, phase__in=[Phase.DELETING, Phase.ERROR]).update(
        phase=Phase.ERROR, reason=f"Deleting failed: {message}"[:500]
    )
