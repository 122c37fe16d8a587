"""What operations on hosts do: identify, probe; and the reconcile that reads a host every few seconds."""

import hashlib
import re
from pathlib import Path

import structlog
from django.conf import settings
from django.db.models.functions import Now

from apps.events.services import event_record
from apps.hosts.models import Accelerator, Host, HostStatus, Transport
from apps.hosts.passwords import password_take
from apps.hosts.selectors import installation_id
from apps.hosts.services import fingerprint_of, host_set_limits
from apps.operations.models import Operation
from hypervisor import ssh
from hypervisor.interface import Hypervisor
from hypervisor.specs import AcceleratorProof, HostFacts, PoolSpec, VolumeSpec
from workers.connections import address_of, connect, connection_settings
from workers.engine import Postpone, Run
from workers.network import host_ensure_network, host_see_forwarding
from workers.observations import host_found

log = structlog.get_logger(__name__)
POOL_ROOT = "/var/lib/libvirt/images"
MOST_SILENCES = 2
GIB = 2**30
FACTS = ("hostname", "host_uuid", "cpus", "cpu_model", "memory_mib", "libvirt_version", "qemu_version")


def names() -> str:
    """The name of our pool and of the host's own network on every host: ``cs-<installation>``."""
    return f"cs-{installation_id()}"


def host_identify(run: Run) -> None:
    """Ask a qemu+ssh host for its key and show it for confirmation; nothing is sent to it."""
    host = Host.objects.get(pk=run.operation.target_id)
    with run.step("fetch-key", "Asking for the host key"):
        key = ssh.fetch_host_key(address_of(host), connection_settings())
    offered = f"{key.kind} {key.base64}"
    with run.write():
        if offered == host.host_key:
            Host.objects.filter(pk=host.pk).update(offered_key="")
            return
        status = HostStatus.KEY_CHANGED if host.host_key else HostStatus.PENDING_TRUST
        reason = f"Confirm its key: {fingerprint_of(offered)}"
        Host.objects.filter(pk=host.pk).update(offered_key=offered, status=status, reason=reason)


def host_probe(run: Run) -> None:
    """See what a host has, make our pool and network on it, and prove its accelerator by booting a kernel."""
    host = Host.objects.get(pk=run.operation.target_id)
    if not run.operation.state.get("prepared"):
        _prepare(run, host)
        run.remember(prepared=True)
        raise Postpone("Proving the accelerator", seconds=0)
    _choose_accelerator(run, host, connect(host))
    with run.write():
        fresh = Host.objects.select_for_update().get(pk=host.pk)
        host_set_limits(fresh)
        fresh.save(update_fields=["vcpus_limit", "memory_limit_mib", "disk_limit_gib"])
        event_record(kind="host.probed", target_type="host", target=host, message=f"Probed: {fresh.accelerator}")
    host_found(host)


def _prepare(run: Run, host: Host) -> None:
    """All but the accelerator. A claim of its own: a host with a broken /dev/kvm takes long to say anything."""
    with run.step("connect", "Connecting"):
        hypervisor = connect(host)
        if host.transport == Transport.SSH:
            _get_in(run, host)
        facts = hypervisor.facts()
    with run.write():
        for field in FACTS:
            setattr(host, field, getattr(facts, field))
        host.architectures, host.uefi = list(facts.architectures), list(facts.uefi)
        host.native_architecture = facts.native
        host.save(update_fields=[*FACTS, "architectures", "uefi", "native_architecture"])
        cpu_record(host, facts)
        # A later one is the reconcile's to notice: it starts the guests that a reboot has stopped.
        Host.objects.filter(pk=host.pk, boot_id="").update(boot_id=str(facts.boot_id))
    with run.step("pool", "Making the storage pool"):
        host_ensure_pool(host, hypervisor)
    with run.step("network", "Making the network"):
        host_ensure_network(host, hypervisor)
    with run.step("forwards", "Looking whether it can forward ports"):
        host_see_forwarding(host, hypervisor)
    run.remember(kvm_advertised=facts.kvm_advertised)


def cpu_record(host: Host, facts: HostFacts) -> None:
    """What its guests find in their CPU. Where libvirt cannot say, what was known stays."""
    known = {**host.cpu_features, **{kind: list(names) for kind, names in facts.cpu_features.items()}}
    Host.objects.filter(pk=host.pk).update(cpu_features=known, facts_read_at=Now())


def _get_in(run: Run, host: Host) -> None:
    """Install our key if a password was given for it, and look at everything that libvirt will need."""
    address, settings_ = address_of(host), connection_settings()
    password = password_take(operation_id=run.operation.pk)
    if password is not None:
        ssh.install_key(address, settings_, password=password)
    ssh.check_access(address, settings_)


def host_ensure_pool(host: Host, hypervisor: Hypervisor) -> None:
    """Our directory pool, with its size on the host's row."""
    name = names()
    info = hypervisor.ensure_pool(PoolSpec(name=name, path=f"{POOL_ROOT}/{name}"))
    host.pool_path = info.path
    host.pool_total_gib = info.capacity_bytes // GIB
    host.pool_free_gib = info.available_bytes // GIB
    host.save(update_fields=["pool_path", "pool_total_gib", "pool_free_gib"])


def _choose_accelerator(run: Run, host: Host, hypervisor: Hypervisor) -> None:
    """KVM where a kernel really boots under it, else TCG. Each proof is a claim of its own: both take long."""
    wanted = host.accelerator_wanted
    proofs: dict[str, dict[str, object]] = run.operation.state.get("proofs", {})
    kinds = ["kvm", "tcg"] if wanted == Accelerator.AUTO else [wanted]
    reason = ""
    if "kvm" in kinds and not run.operation.state["kvm_advertised"]:
        kinds.remove("kvm")
        reason = "libvirt does not offer KVM on this host. "
    for kind in kinds:
        if kind not in proofs:
            proof = _prove(run, hypervisor, kind)
            if not proof.works:
                log.warning("host.accelerator_refused", accelerator=kind, detail=proof.detail, output=proof.output)
            proofs[kind] = {"works": proof.works, "detail": told(proof.detail), "seconds": round(proof.seconds, 1)}
            run.remember(proofs=proofs)
            if not proof.works and kind != kinds[-1]:
                raise Postpone(f"{kind} does not work here: {told(proof.detail)}", seconds=0)
        if proofs[kind]["works"]:
            _record_accelerator(run, host, kind, True, f"{reason}A Linux kernel booted in {proofs[kind]['seconds']} s.")
            return
        reason += f"{kind}: {proofs[kind]['detail']} "
    _record_accelerator(run, host, wanted if wanted != Accelerator.AUTO else "tcg", False, reason)


def told(detail: str) -> str:
    """What QEMU and libvirt wrote, as one sentence: its last line is the cause, without time and program."""
    lines = [line.strip() for line in detail.splitlines() if line.strip()]
    cause = re.sub(r"^[0-9T:.Z -]{19,}:? *", "", lines[-1] if lines else "no reason given")
    cause = cause.removeprefix("qemu-system-x86_64: ")[:200].rstrip(".")
    return f"{cause}."


def _record_accelerator(run: Run, host: Host, kind: str, proven: bool, reason: str) -> None:
    with run.write():
        Host.objects.filter(pk=host.pk).update(
            accelerator=kind, accelerator_proven=proven, accelerator_reason=reason.strip()[:500]
        )


def _prove(run: Run, hypervisor: Hypervisor, kind: str) -> AcceleratorProof:
    """One proof. libvirt may hang in a broken KVM: a host that twice stops answering just then cannot use it."""
    silent = f"silent_{kind}"
    if run.operation.state.get(silent, 0) >= MOST_SILENCES:
        return AcceleratorProof(works=False, seconds=0.0, detail="libvirt stopped answering while it was tried")
    with run.step(f"prove-{kind}", f"Booting a kernel under {kind.upper()}"):
        kernel = _ensure_probe_file(hypervisor, "vmlinuz")
        initrd = _ensure_probe_file(hypervisor, "initrd")
        run.remember(**{silent: run.operation.state.get(silent, 0) + 1})
        return hypervisor.prove_accelerator(pool=names(), kernel=kernel, initrd=initrd, kind=kind, timeout=20.0)  # type: ignore[arg-type]  # one of the two literals


def _ensure_probe_file(hypervisor: Hypervisor, name: str) -> str:
    """Have the probe's kernel or initial RAM disk on the host, named by its content."""
    path = Path(settings.STATE_DIR) / "images" / "probe" / name
    content = path.read_bytes()
    volume = f"probe-{hashlib.sha256(content).hexdigest()[:16]}.img"
    known = hypervisor.volume(names(), volume)
    if known is None or known.allocated_bytes < len(content):
        spec = VolumeSpec(pool=names(), name=volume, capacity_bytes=len(content), format="raw")
        hypervisor.ensure_volume(spec)
        with path.open("rb") as source:
            hypervisor.upload(pool=names(), name=volume, source=source, offset=0, length=len(content))
    return volume


def host_probe_failed(operation: Operation, message: str) -> None:
    """A host that could not be probed is not up."""
    Host.objects.filter(pk=operation.target_id, status=HostStatus.UNREACHABLE).update(
        reason=message[:500], status_since=Now()
    )
