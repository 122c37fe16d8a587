"""What-if questions: the engine that places, on a copy of what it would see. Nothing is placed or written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from apps.accounts.models import User
from apps.accounts.selectors import require_admin
from apps.errors import refused
from apps.hosts.capacity import Demand, capacity_limits, guest_memory_mib
from apps.hosts.models import Host
from apps.hosts.selectors import host_wanted
from apps.names import valid_cpu_features, valid_name
from apps.network.selectors import network_wanted
from apps.placement.engine.advice import smallest_changes
from apps.placement.engine.cpu import expanded
from apps.placement.engine.decide import decide
from apps.placement.engine.snapshot import HostView, Room
from apps.placement.engine.trace import as_trace
from apps.placement.groups import group_wanted
from apps.placement.policies import policy_checked, policy_in_force, policy_known
from apps.placement.policy.model import Policy
from apps.placement.services import Wish
from apps.storage.selectors import image_wanted


@dataclass(frozen=True, kw_only=True)
class NewHost:
    """A host that does not exist, empty, with the usual ratios."""

    name: str
    cpus: int
    memory_mib: int
    disk_gib: int
    architecture: str = "x86_64"
    cpu_features: tuple[str, ...] | None = None
    """None: all that anybody asks for."""


def placement_explain(
    *,
    actor: User,
    vcpus: int,
    memory_mib: int,
    disk_gib: int,
    architecture: str = "x86_64",
    firmware: str = "bios",
    image: str | None = None,
    host: str | None = None,
    group: str | None = None,
    network: str | None = None,
    cpu_features: Sequence[str] = (),
    policy: str | None = None,
    policy_text: str | None = None,
    down: Sequence[str] = (),
    added: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The trace of a decision that nobody carries out, with some hosts away and others there."""
    require_admin(actor)
    source = image_wanted(actor=actor, reference=image) if image else None
    wanted = host_wanted(actor=actor, reference=host) if host else None
    wish = Wish(
        demand=Demand(vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib),
        architecture=source.architecture if source else architecture,
        firmware=firmware,
        image_id=source.pk if source else None,
        host_id=wanted.pk if wanted else None,
        group=group_wanted(actor=actor, reference=group, lock=False) if group else None,
        network=network_wanted(actor=actor, reference=network) if network else None,
        cpu_features=valid_cpu_features(cpu_features),
        policy=_policy(policy, policy_text),
    )
    hosts = _hosts(wish, down, [NewHost(**new) for new in added])
    decision = decide(hosts=hosts, request=wish.request(), policy=wish.policy)
    changes = [asdict(change) for change in smallest_changes(decision)]
    return {**as_trace(decision), "smallest_changes": changes}


def _policy(name: str | None, text: str | None) -> Policy:
    if name is not None and text is not None:
        raise refused("policy_text", "policy.name_and_text", "Give a policy by name or its text; not both.")
    if text is not None:
        return policy_checked(text)
    return policy_in_force(policy_known(reference=name) if name is not None else None)[0]


def _hosts(wish: Wish, down: Sequence[str], added: Sequence[NewHost]) -> list[HostView]:
    hosts = wish.hosts()
    known = {host.name for host in hosts}
    for name in down:
        if name not in known:
            raise refused("down", "host.unknown", f"There is no host {name[:63]!r}.")
    for new in added:
        valid_name("added", new.name)
        if new.name in known:
            raise refused("added", "host.name_taken", f"There is already a host named {new.name!r}.")
        known.add(new.name)
    views = [replace(host, up=False, reason="taken as down") if host.name in down else host for host in hosts]
    return [
        *views,
        *(host_imagined(new, asked=(*wish.cpu_features, *wish.policy.filters.cpu_features)) for new in added),
    ]


def host_imagined(new: NewHost, *, asked: Iterable[str] = ()) -> HostView:
    """The host as a decision would see it: up, empty, with KVM."""
    host = Host(name=new.name, cpus=new.cpus, memory_mib=new.memory_mib, pool_total_gib=new.disk_gib)
    vcpus, memory, disk = capacity_limits(host=host)
    return HostView(
        id=new.name,
        name=new.name,
        up=True,
        enabled=True,
        reason="",
        architectures=(new.architecture,),
        uefi=(new.architecture,),
        native=new.architecture,
        accelerator="kvm",
        proven=True,
        cpu_features=tuple(sorted(expanded(asked if new.cpu_features is None else new.cpu_features))),
        vcpus=Room(size=new.cpus, limit=vcpus, claimed=0),
        memory=Room(size=guest_memory_mib(new.memory_mib), limit=memory, claimed=0),
        disk=Room(size=new.disk_gib, limit=disk, claimed=0),
    )
