"""The power verbs. Every handler starts at the top and may run any number of times."""

from apps.compute.models import VM, DesiredPower, Power
from apps.errors import Unavailable
from apps.operations.models import ACTIVE, Operation
from hypervisor.errors import NotFound
from hypervisor.specs import Button
from workers.compute.domain import domain_spec, ensure_address
from workers.compute.target import host_of, record_power, take_over, vm_of
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run
from workers.observations import now

POLL_SECONDS = 1.0


def vm_start(run: Run) -> None:
    """Start it; a domain that somebody undefined is defined again from our record, its disk is still there."""
    if (vm := vm_of(run)) is None:
        return
    host = host_of(vm)
    _wait_for_earlier(run)
    hypervisor = hypervisor_for(host)
    take_over(run, vm)
    with run.step("start", "Starting", progress=20):
        if hypervisor.domain(vm.pk) is None:
            nic = ensure_address(run, vm, host)
            hypervisor.ensure_defined(domain_spec(vm, host, nic))
        hypervisor.ensure_running(vm.pk)
    with run.step("verify", "Looking whether it runs", progress=90):
        record_power(run, vm, hypervisor)


def _wait_for_earlier(run: Run) -> None:
    """After a reboot of the host: those of a lower boot order first. What fails of them holds nobody up."""
    order = run.operation.params.get("boot_order")
    if order is None:
        return
    starts = Operation.objects.filter(host_id=run.operation.host_id, kind="vm.start", status__in=ACTIVE)
    if starts.filter(params__boot_order__lt=order).exists():
        raise Postpone("Waiting for machines that start earlier", seconds=POLL_SECONDS, renew=True)


def vm_pause(run: Run) -> None:
    """Hold its processors."""
    _set_paused(run, paused=True)


def vm_resume(run: Run) -> None:
    """Let it run on."""
    _set_paused(run, paused=False)


def _set_paused(run: Run, *, paused: bool) -> None:
    if (vm := vm_of(run)) is None:
        return
    hypervisor = hypervisor_for(host_of(vm))
    with run.step("pause" if paused else "resume", "Pausing" if paused else "Resuming", progress=20):
        hypervisor.set_paused(vm.pk, paused=paused)
    with run.step("verify", "Looking at it", progress=90):
        record_power(run, vm, hypervisor)


def vm_power_off(run: Run) -> None:
    """Pull the plug."""
    if (vm := vm_of(run)) is None:
        return
    hypervisor = hypervisor_for(host_of(vm))
    with run.step("power-off", "Pulling the plug", progress=20):
        hypervisor.power_off(vm.pk)
    with run.step("verify", "Looking whether it is off", progress=90):
        record_power(run, vm, hypervisor)


def vm_shutdown(run: Run) -> None:
    """Press the power button once, wait in the queue, then do what the caller chose."""
    if (vm := vm_of(run)) is None:
        return
    hypervisor = hypervisor_for(host_of(vm))
    power = record_power(run, vm, hypervisor)
    if power not in (Power.RUNNING, Power.PAUSED):
        return
    pressed = run.operation.state.get("pressed_at")
    if pressed is None:
        run.remember(pressed_at=now().timestamp())
        with run.step("press", "Pressing the power button", progress=10):
            hypervisor.press(vm.pk, Button.SHUTDOWN)
        raise Postpone("Waiting for the guest to shut down", seconds=POLL_SECONDS)
    waited, most = now().timestamp() - float(pressed), float(run.operation.params["timeout_s"])
    if waited < most:
        raise Postpone(f"Waiting for the guest to shut down ({int(waited)} of {int(most)} s)", seconds=POLL_SECONDS)
    if run.operation.params["on_timeout"] != "power-off":
        raise Unavailable(
            "vm.shutdown_timeout", f"The guest did not shut down within {int(most)} s; it was left running."
        )
    with run.step("power-off", "Pulling the plug", progress=80):
        hypervisor.power_off(vm.pk)
    record_power(run, vm, hypervisor)


def vm_shutdown_failed(operation: Operation, _message: str) -> None:
    """It runs on, so that is the wish again."""
    VM.objects.filter(pk=operation.target_id, power=Power.RUNNING).update(desired_power=DesiredPower.ON)


def _press_once(run: Run, button: Button, step: str, text: str) -> None:
    """A press cannot be observed, so it is done at most once: after a crash in between we say that we do not know."""
    if (vm := vm_of(run)) is None:
        return
    hypervisor = hypervisor_for(host_of(vm))
    if run.operation.state.get("pressed"):
        raise Unavailable("vm.press_unknown", "A worker died while pressing the button; whether it did is not known.")
    if hypervisor.domain(vm.pk) is None:
        raise NotFound(f"{vm.name} is not defined on its host")
    run.remember(pressed=True)
    with run.step(step, text, progress=30):
        hypervisor.press(vm.pk, button)
    record_power(run, vm, hypervisor)


def vm_reboot(run: Run) -> None:
    """Ask the guest to restart."""
    _press_once(run, Button.REBOOT, "press", "Asking the guest to restart")


def vm_reset(run: Run) -> None:
    """Press reset."""
    _press_once(run, Button.RESET, "press", "Pressing reset")
