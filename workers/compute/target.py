"""The VM that an operation is about: read it, take it over, write what was seen of it."""

from django.db.models import F

from apps.compute.models import VM, Power
from apps.errors import Unavailable
from apps.hosts.models import Host
from hypervisor.interface import Hypervisor
from workers.engine import Run
from workers.observations import now


def vm_of(run: Run) -> VM | None:
    return (
        VM.objects.select_related("host", "image", "root_volume", "owner", "rescue_image", "cdrom")
        .filter(pk=run.operation.target_id)
        .first()
    )


def take_over(run: Run, vm: VM) -> None:
    """Raise the VM's fence: a worker that comes late finds a higher one on the domain and stops."""
    with run.write():
        VM.objects.filter(pk=vm.pk).update(fence=F("fence") + 1)
    vm.refresh_from_db(fields=["fence"])


def host_of(vm: VM) -> Host:
    if vm.host is None:
        raise Unavailable("vm.no_host", f"{vm.name} is on no host.")
    return vm.host


def record_power(run: Run, vm: VM, hypervisor: Hypervisor) -> str:
    """Read the guest and write what was seen."""
    read_at = now()
    seen = hypervisor.domain(vm.pk)
    power = seen.power.value if seen else Power.SHUTOFF.value
    with run.write():
        VM.objects.filter(pk=vm.pk).update(power=power, missing=seen is None, observed_at=read_at)
    return power
