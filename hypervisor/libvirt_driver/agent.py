"""qemu-guest-agent in a guest: what it answers is the guest's word, so it is bounded and believed in nothing else."""

import json
import threading
import time
from typing import Final

import libvirt
import libvirt_qemu

from hypervisor.errors import GuestSilent, Rejected
from hypervisor.libvirt_driver.states import power_of
from hypervisor.specs import Power

_ANSWER_SECONDS: Final = 5  # of itself libvirt waits for ever, and a guest may choose not to answer
_EXPIRE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.2
_SILENT: Final = (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED)


def set_password(domain: libvirt.virDomain, user: str, password: str) -> None:
    state, reason = domain.state(0)
    if power_of(state, reason)[0] is not Power.RUNNING:
        raise Rejected(f"domain {domain.UUIDString()} does not run, so nobody answers in it")
    try:
        domain.agentSetResponseTimeout(_ANSWER_SECONDS, 0)
        domain.setUserPassword(user, password, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() in _SILENT:
            raise GuestSilent(error.get_error_message() or "no guest agent answers") from error
        raise


def expire_password(domain: libvirt.virDomain, user: str) -> bool:
    """There is no call for it, so the agent is asked to run `chage`; many a system forbids its agent that."""
    arguments = {"path": "chage", "arg": ["-d", "0", "--", user], "capture-output": False}
    deadline = time.monotonic() + _EXPIRE_SECONDS
    try:
        pid = _ask(domain, "guest-exec", arguments)["pid"]
        while not (status := _ask(domain, "guest-exec-status", {"pid": pid})).get("exited"):
            if time.monotonic() > deadline:
                return False
            threading.Event().wait(_POLL_SECONDS)
    except libvirt.libvirtError as error:
        if error.get_error_domain() in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE):
            raise
        return False
    except (ValueError, KeyError, TypeError, AttributeError):  # what a guest answers may be anything
        return False
    return status.get("exitcode") == 0


def _ask(domain: libvirt.virDomain, command: str, arguments: dict[str, object]) -> dict[str, object]:
    text = json.dumps({"execute": command, "arguments": arguments})
    answer: dict[str, object] = json.loads(libvirt_qemu.qemuAgentCommand(domain, text, _ANSWER_SECONDS, 0))["return"]
    return answer
