"""The frame around every page of one VM: its state, what is being done to it, and the tabs."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.urls import reverse

from apps.compute.models import VM
from apps.compute.services.trash import goes_to_trash
from apps.operations.selectors import operations_for
from apps.pages import PageRequest, show
from apps.storage.selectors import images_usable

RECENT = 8

# Key of the tab, its label, and the name of its page, in the order in which they are shown.
TABS: tuple[tuple[str, str, str], ...] = (
    ("overview", "Overview", "vm-detail"),
    ("graphs", "Graphs", "vm-graphs"),
    ("snapshots", "Snapshots", "vm-snapshots"),
    ("network", "Network", "vm-network"),
    ("volumes", "Volumes", "vm-volumes"),
    ("schedules", "Schedules", "vm-schedules"),
    ("console", "Console", "vm-console"),
)


@dataclass(frozen=True, kw_only=True)
class Tab:
    key: str
    label: str
    url: str


def vm_page(
    request: PageRequest,
    vm: VM,
    *,
    tab: str,
    panel: str | None = None,
    still: str | None = None,
    dialogs: str | None = None,
    context: dict[str, Any] | None = None,
) -> HttpResponse:
    """One tab of a VM's page.

    ``panel`` is replaced every two seconds while an operation works on the VM, so what people type into, and what
    keeps a connection, is in ``dialogs`` and ``still``, which stay.
    """
    operations = list(operations_for(actor=request.user).filter(target_id=vm.pk)[:RECENT])
    active = [operation for operation in operations if operation.is_active]
    tabs = [Tab(key=key, label=label, url=reverse(name, args=[vm.pk])) for key, label, name in TABS]
    frame = {
        "section": "vms",
        "vm": vm,
        "operation": max(active, key=lambda item: item.deletes, default=operations[0] if operations else None),
        "operations": operations,
        "is_live": bool(active),
        "tabs": tabs,
        "tab": tab,
        "tab_label": next(item.label for item in tabs if item.key == tab),
        "panel": panel,
        "still": still,
        "dialogs": dialogs,
        "will_trash": goes_to_trash(vm),
        "trash_hours": settings.TRASH_HOURS,
        "bootable": images_usable(actor=request.user).filter(architecture=vm.architecture).order_by("name"),
    }
    return show(request, "compute/vm_page.html", "compute/vm_live.html", {**frame, **(context or {})})
