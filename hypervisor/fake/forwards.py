"""Port forwards of a fake host, kept with its networks."""

from hypervisor.errors import NotFound
from hypervisor.fake.networks import ours
from hypervisor.fake.store import State
from hypervisor.specs import Forwarding, PortForward


def forwarding(state: State) -> Forwarding | None:
    facts = state.get("host", "facts") or {}
    if not facts["hook"]:
        return None
    return Forwarding(listening=frozenset(("tcp", int(port)) for port in facts["listening"]))


def ensure(state: State, installation: str, network: str, forward: PortForward) -> None:
    found = ours(state, installation, network)
    if found is None:
        raise NotFound(f"no network {network}")
    target = f"{forward.address}:{forward.guest_port}"
    found["forwards"] = found.get("forwards", {}) | {f"{forward.protocol}-{forward.host_port}": target}
    state.put("network", network, found)


def remove(state: State, installation: str, network: str, protocol: str, host_port: int) -> None:
    found = ours(state, installation, network)
    if found is not None and found.get("forwards", {}).pop(f"{protocol}-{host_port}", None) is not None:
        state.put("network", network, found)
