"""How values look on pages: units, states, the names of verbs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html

register = template.Library()

TONES = {
    "running": "good",
    "up": "good",
    "succeeded": "good",
    "ready": "good",
    "attached": "good",
    "attaching": "busy",
    "detaching": "busy",
    "creating": "busy",
    "working": "busy",
    "queued": "busy",
    "uploading": "busy",
    "importing": "busy",
    "checking": "busy",
    "sending": "busy",
    "deleting": "warn",
    "trashed": "warn",
    "paused": "warn",
    "pending_trust": "warn",
    "error": "bad",
    "failed": "bad",
    "unreachable": "bad",
    "key_changed": "bad",
}

VERBS = {
    "vm.create": "Create",
    "vm.start": "Start",
    "vm.shutdown": "Shut down",
    "vm.power-off": "Power off",
    "vm.reboot": "Reboot",
    "vm.reset": "Reset",
    "vm.pause": "Pause",
    "vm.resume": "Resume",
    "vm.resize": "Resize",
    "vm.rebuild": "Rebuild",
    "vm.clone": "Clone",
    "vm.copy": "Copy disk of",
    "vm.rescue": "Rescue",
    "vm.unrescue": "End rescue of",
    "vm.insert": "Insert CD into",
    "vm.eject": "Eject CD of",
    "vm.console-password": "Set a console password in",
    "vm.delete": "Delete",
    "vm.trash": "Move to trash",
    "vm.restore": "Restore",
    "snapshot.create": "Take snapshot of",
    "snapshot.revert": "Revert",
    "snapshot.delete": "Delete snapshot of",
    "network.create": "Create",
    "network.delete": "Delete",
    "nic.create": "Add interface to",
    "nic.delete": "Remove interface from",
    "port-forward.create": "Open port",
    "port-forward.delete": "Close port",
    "vm.io-limits": "Limit the disk of",
    "volume.create": "Create",
    "volume.resize": "Grow",
    "volume.limit": "Limit",
    "volume.delete": "Delete",
    "volume.attach": "Attach a volume to",
    "volume.detach": "Detach a volume from",
    "host.identify": "Read identity of",
    "host.probe": "Probe",
    "image.check": "Check",
    "image.import": "Import",
    "image.delete": "Delete",
    "image.prune": "Remove unused copies of",
    "vm.image": "Make an image of",
    "image.send": "Send image",
    "image.remove": "Remove image",
}

ROUTES = {
    "vm": "vm-detail",
    "network": "network-detail",
    "volume": "volume-detail",
    "host": "host-detail",
    "image": "image-detail",
}

EVENT_ICONS = {
    "create": "plus",
    "clone": "plus",
    "rescue": "shield-check",
    "unrescue": "arrow-uturn-left",
    "insert": "circle-stack",
    "eject": "arrow-right-start-on-rectangle",
    "copy": "square-3-stack-3d",
    "added": "plus",
    "delete": "trash",
    "deleted": "trash",
    "trash": "trash",
    "restore": "arrow-uturn-left",
    "removed": "trash",
    "start": "play",
    "started": "play",
    "stopped": "stop",
    "shutdown": "power",
    "power-off": "power",
    "unreachable": "exclamation-triangle",
    "key_changed": "exclamation-triangle",
    "failed": "exclamation-triangle",
    "crashed": "exclamation-triangle",
    "missing": "exclamation-triangle",
    "missed": "exclamation-triangle",
    "skipped": "exclamation-triangle",
    "succeeded": "check",
    "probe": "signal",
    "identify": "shield-check",
    "revert": "arrow-uturn-left",
    "found": "information-circle",
    "gone": "exclamation-triangle",
    "send": "square-3-stack-3d",
    "created": "plus",
    "attach": "plus",
    "detach": "arrow-uturn-left",
    "reboot": "arrow-path",
    "rebooted": "arrow-path",
    "reset": "arrow-uturn-left",
    "pause": "pause",
    "paused": "pause",
    "resume": "play",
    "rename": "pencil-square",
    "update": "pencil-square",
    "closed": "no-symbol",
    "opened": "check",
    "up": "check",
    "trusted": "shield-check",
}


@register.filter
def mib(value: float | None) -> str:
    """Memory in the unit that people read: 512 MiB, 2 GiB, 1.5 GiB."""
    if value is None:
        return "-"
    return f"{round(value)} MiB" if value < 1024 else f"{_short(value / 1024)} GiB"


@register.filter
def gib(value: int | None) -> str:
    """Disk: 20 GiB, 1.8 TiB."""
    if value is None:
        return "-"
    return f"{value} GiB" if value < 1024 else f"{_short(value / 1024)} TiB"


@register.filter
def size_of(value: int | None) -> str:
    """Bytes of a file: 3.2 MiB, 1 GiB."""
    number = float(value or 0)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{_short(number)} {unit}"
        number /= 1024
    return f"{_short(number)} GiB"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


@register.filter
def percent(part: float | None, whole: float | None) -> int:
    """A share from 0 to 100; nothing of nothing is 0."""
    return min(100, round(100 * (part or 0) / whole)) if whole else 0


@register.filter
def tone(state: str) -> str:
    """The colour of a state: good, busy, warn, bad, or none."""
    return TONES.get(state, "")


@register.filter
def badge(state: str) -> str:
    """A state with its colour, as ``components/badge.html``, for lists in which an include per line costs too much."""
    colour = f" badge-{TONES[state]}" if state in TONES else ""
    return format_html('<span class="badge{}">{}</span>', colour, words(state))


@register.filter
def facts(vm: Mapping[str, Any]) -> str:
    """What a machine is, in one line: image, processors, memory, disk. ``vm`` is a row of ``vm_rows``."""
    image = vm["image__name"] or "No image"
    return f"{image} · {vm['vcpus']} vCPU · {mib(vm['memory_mib'])} · {gib(vm['disk_gib'])}"


@register.filter
def bar_tone(share: int) -> str:
    """The colour of a bar: it warns at 80 % and alarms at 95 %."""
    if share >= 95:
        return "bad"
    return "warn" if share >= 80 else ""


@register.filter
def words(state: str) -> str:
    """A state as people read it: ``pending_trust`` → ``Pending trust``."""
    return str(state).replace("_", " ").replace("-", " ").capitalize()


@register.filter
def verb(kind: str) -> str:
    """What an operation does, for its name: ``vm.power-off`` → ``Power off``."""
    return VERBS.get(kind) or words(kind.rpartition(".")[2])


@register.filter
def route(target_type: str) -> str:
    """The name of the URL of an object's page, or nothing where it has none."""
    return ROUTES.get(target_type, "")


@register.filter
def event_icon(event: Any) -> str:
    """The icon template of an event: its outcome where it tells one, else its verb."""
    outcome = str(event.message).removeprefix(event.kind).strip().partition(":")[0]
    icon = EVENT_ICONS.get(outcome) or EVENT_ICONS.get(event.kind.rpartition(".")[2], "bolt")
    return f"icons/{icon}.svg"


@register.filter
def event_tone(event: Any) -> str:
    """The colour of an event's mark: bad news and good news stand out."""
    return {"exclamation-triangle": "bad", "check": "good"}.get(event_icon(event)[6:-4], "")


@register.filter
def happened(event: Any) -> str:
    """What an event says. A request says its verb as people read it: ``Power off was requested``."""
    return str(event.message).replace(event.kind, verb(event.kind), 1)


@register.filter
def ago(moment: datetime | None) -> str:
    """How long ago, in one unit: ``just now``, ``5 min ago``, ``3 h ago``, ``12 days ago``."""
    if moment is None:
        return "never"
    seconds = (timezone.now() - moment).total_seconds()
    for limit, size, unit in ((3600, 60, "min"), (86400, 3600, "h")):
        if seconds < 60:
            return "just now"
        if seconds < limit:
            return f"{int(seconds // size)} {unit} ago"
    days = int(seconds // 86400)
    return "yesterday" if days == 1 else f"{days} days ago"


@register.filter
def ahead(moment: datetime) -> str:
    """How far ahead, in one unit: ``within a minute``, ``in 5 min``, ``in 23 h``, ``in 12 days``."""
    seconds = (moment - timezone.now()).total_seconds()
    for limit, size, unit in ((60, 60, ""), (3600, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"in {int(seconds // size)} {unit}" if unit else "within a minute"
    return f"in {int(seconds // 86400)} days"


@register.filter
def step_now(operation: Any) -> str:
    """What an active operation is doing; a postponed one also says when it is tried again."""
    step = str(operation.step) or ("waiting for a worker" if operation.status == "queued" else "working")
    seconds = int((operation.run_after - timezone.now()).total_seconds())
    later = f", next try in {seconds} s" if operation.status == "queued" and seconds > 0 else ""
    return step[:1].upper() + step[1:].rstrip(".") + later


@register.filter
def lasted(operation: Any) -> str:
    """How long an operation took, or has been running: ``4 s``, ``2 min 5 s``."""
    begin = operation.started_at or operation.created_at
    seconds = max(0, int(((operation.finished_at or timezone.now()) - begin).total_seconds()))
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"


@register.filter
def capacity(host: Any) -> list[dict[str, Any]]:
    """What is claimed of a host: name, share and text of each bar."""
    return [
        {
            "name": name,
            "share": percent(claimed, limit),
            "text": f"{unit(claimed)} of {unit(limit)}",
        }
        for name, claimed, limit, unit in (
            ("vCPU", host.vcpus_claimed, host.vcpus_limit, str),
            ("Memory", host.memory_claimed_mib, host.memory_limit_mib, mib),
            ("Disk", host.disk_claimed_gib, host.disk_limit_gib, gib),
        )
    ]
