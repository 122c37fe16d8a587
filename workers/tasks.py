"""Every Celery task, and which handler carries out which kind of operation.

A task's only argument is an id. What is to be done stands in PostgreSQL.
"""

import uuid

import structlog
from celery import shared_task

from apps.envelope.services import keys_forget
from apps.hosts.services import hosts_probe_again
from apps.metrics.retention import samples_forget
from apps.metrics.rollups import windows_roll_up
from apps.placement.retention import placements_roll_up
from cloudsite.celery import app
from workers import hosts, image_import, images, network, storage
from workers.compute import (
    clone,
    console_password,
    image,
    nic,
    port_forward,
    power,
    rebuild,
    rescue,
    resize,
    snapshot,
    trash,
    vm,
    volume,
    volume_attachment,
)
from workers.engine import Handler, execute
from workers.heartbeat import beat
from workers.observations import host_lost, now
from workers.reconcile import reconcile_host
from workers.sweep import Sweeper, empty_trash, expire_reservations, ring_reconciles, run_schedules, sweep

log = structlog.get_logger(__name__)
app.steps["worker"].add(Sweeper)

HANDLERS = {
    "host.identify": Handler(run=hosts.host_identify, failed=hosts.host_probe_failed),
    "host.probe": Handler(run=hosts.host_probe, failed=hosts.host_probe_failed),
    "image.check": Handler(run=images.image_check, failed=images.image_failed),
    "image.delete": Handler(run=images.image_delete, failed=images.image_delete_failed),
    "image.import": Handler(run=image_import.image_import, failed=images.image_failed),
    "image.prune": Handler(run=images.image_prune),
    "image.send": Handler(run=storage.image_send),
    "network.create": Handler(run=network.network_create, failed=network.network_create_failed),
    "network.delete": Handler(run=network.network_delete, failed=network.network_delete_failed),
    "snapshot.create": Handler(run=snapshot.snapshot_create, failed=snapshot.snapshot_create_failed),
    "snapshot.revert": Handler(run=snapshot.snapshot_revert, failed=snapshot.snapshot_revert_failed),
    "snapshot.delete": Handler(run=snapshot.snapshot_delete, failed=snapshot.snapshot_delete_failed),
    "nic.create": Handler(run=nic.nic_create),
    "nic.delete": Handler(run=nic.nic_delete, failed=nic.nic_delete_failed),
    "port-forward.create": Handler(run=port_forward.forward_create, failed=port_forward.forward_create_failed),
    "port-forward.delete": Handler(run=port_forward.forward_delete, failed=port_forward.forward_delete_failed),
    "vm.create": Handler(run=vm.vm_create, failed=vm.vm_create_failed),
    "vm.clone": Handler(run=clone.vm_clone, failed=vm.vm_create_failed),
    "vm.copy": Handler(run=clone.vm_copy, takes_back=True),
    "vm.console-password": Handler(run=console_password.vm_console_password),
    "vm.image": Handler(run=image.vm_image, failed=images.image_failed),
    "vm.rescue": Handler(run=rescue.vm_rescue, takes_back=True),
    "vm.unrescue": Handler(run=rescue.vm_unrescue),
    "vm.insert": Handler(run=rescue.vm_insert),
    "vm.eject": Handler(run=rescue.vm_eject),
    "vm.start": Handler(run=power.vm_start),
    "vm.shutdown": Handler(run=power.vm_shutdown, failed=power.vm_shutdown_failed),
    "vm.power-off": Handler(run=power.vm_power_off),
    "vm.reboot": Handler(run=power.vm_reboot),
    "vm.reset": Handler(run=power.vm_reset),
    "vm.pause": Handler(run=power.vm_pause),
    "vm.resume": Handler(run=power.vm_resume),
    "vm.rebuild": Handler(run=rebuild.vm_rebuild, failed=rebuild.vm_rebuild_failed),
    "vm.resize": Handler(run=resize.vm_resize, failed=resize.vm_resize_failed, takes_back=True),
    "vm.trash": Handler(run=trash.vm_trash, failed=trash.vm_trash_failed),
    "vm.delete": Handler(run=vm.vm_delete, failed=vm.vm_delete_failed),
    "vm.io-limits": Handler(run=volume.vm_io_limits),
    "volume.create": Handler(run=volume.volume_create, failed=volume.volume_create_failed),
    "volume.resize": Handler(run=volume.volume_resize, failed=volume.volume_resize_failed),
    "volume.limit": Handler(run=volume.volume_limit),
    "volume.delete": Handler(run=volume.volume_delete, failed=volume.volume_delete_failed),
    "volume.attach": Handler(run=volume_attachment.volume_attach, failed=volume_attachment.volume_attach_failed),
    "volume.detach": Handler(run=volume_attachment.volume_detach, failed=volume_attachment.volume_detach_failed),
}


@shared_task(name="operations.run")
def operations_run(operation_id: str) -> None:
    """Carry out one operation, if it is due and free."""
    execute(uuid.UUID(operation_id), handlers=HANDLERS, host_lost=host_lost)


@shared_task(name="operations.sweep")
def operations_sweep() -> None:
    """Beat's sweep; each worker's parent sweeps as well."""
    beat("beat")
    run_schedules()
    empty_trash()
    expire_reservations()
    sweep()


@shared_task(name="hosts.reconcile_all")
def hosts_reconcile_all() -> None:
    """Beat's round over all hosts: those whose turn it is."""
    beat("beat")
    ring_reconciles()


@shared_task(name="hosts.probe_again")
def hosts_probe_those_that_failed() -> None:
    """Ask again for the first probe of hosts where it failed."""
    hosts_probe_again()


@shared_task(name="hosts.reconcile")
def hosts_reconcile(host_id: str) -> None:
    """Read one host."""
    reconcile_host(uuid.UUID(host_id))


@shared_task(name="envelope.forget_keys")
def envelope_forget_keys() -> None:
    """Drop the answers kept for old idempotency keys."""
    keys_forget()


@shared_task(name="metrics.roll_up")
def metrics_roll_up() -> None:
    """Bring averages and maxima up to the samples that came. Two at once take different windows."""
    windows_roll_up(now=now())


@shared_task(name="metrics.forget")
def metrics_forget() -> None:
    """Make room for the samples of the next days, and drop those that are too old."""
    samples_forget(now=now())


@shared_task(name="placement.roll_up")
def placement_roll_up() -> None:
    """Drop what is kept of old decisions about machines that are gone."""
    placements_roll_up(now=now())


@shared_task(name="storage.forget")
def storage_forget() -> None:
    """Drop what nobody goes on with or needs: uploads, and copies of images on hosts."""
    images.images_forget()
