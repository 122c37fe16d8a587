"""The guest agent of a fake host's guests; `agent` says whether it answers, `guest_exec` whether it runs commands."""

from uuid import UUID

from hypervisor.errors import GuestSilent, Rejected
from hypervisor.fake import domains
from hypervisor.fake.store import State
from hypervisor.specs import Power


def set_password(state: State, installation: str, uuid: UUID, user: str, password: str) -> None:
    domain = domains.ours(state, installation, uuid)
    if domain["power"] != Power.RUNNING:
        raise Rejected(f"domain {uuid} does not run, so nobody answers in it")
    if not (state.get("host", "facts") or {})["agent"]:
        raise GuestSilent("QEMU guest agent is not connected")
    state.put("passwords", str(uuid), {"user": user, "password": password, "expired": False})


def expire_password(state: State, installation: str, uuid: UUID, user: str) -> bool:
    domains.ours(state, installation, uuid)
    known = state.get("passwords", str(uuid)) or {}
    if known.get("user") != user or not (state.get("host", "facts") or {})["guest_exec"]:
        return False
    state.put("passwords", str(uuid), known | {"expired": True})
    return True
