"""One action on the machines that are chosen in the list: what would happen, then what became of each."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpResponse
from django.template.defaultfilters import pluralize

from apps.compute.forms.bulk import VMBulkForm
from apps.compute.services.bulk import TAGGING, Item, vms_bulk
from apps.errors import AppError
from apps.pages import PageRequest, action, preview, show


@dataclass(frozen=True, kw_only=True)
class Words:
    """How an action is spoken of. ``lead`` is said before what cannot be taken back."""

    label: str
    lead: str = ""


DESTROYED = "Their disks and everything on them are destroyed. Nobody can undo this."
WORDS = {
    "start": Words(label="Start"),
    "shutdown": Words(label="Shut down"),
    "reboot": Words(label="Reboot"),
    "tag": Words(label="Tag"),
    "untag": Words(label="Untag"),
    "power-off": Words(label="Power off", lead="The plug is pulled: what they have not written is lost."),
    "delete": Words(label="Delete", lead=DESTROYED),
    "restore": Words(label="Restore"),
    "delete-for-good": Words(label="Delete for good", lead=DESTROYED),
}
FOR_GOOD = "delete-for-good"  # of the page alone: out of the trash it is a delete that says so
TO_TRASH = Words(
    label="Move to trash", lead="They are powered off. Until their time in the trash is over they can be restored."
)


@action
def vm_bulk(request: PageRequest) -> HttpResponse:
    """Dangerous actions and tags are shown first and done by a second press; the others at once."""
    form = VMBulkForm(request.POST)
    if not form.is_valid():
        return _panel(
            request, {"title": "This cannot be done", "problem": "Choose machines and an action.", "is_done": True}
        )
    name, is_sent = form.cleaned_data["action"], request.POST.get("intent") == "do"
    is_tagging = name in TAGGING
    options: dict[str, Any] = {"tags": form.wanted_tags} if is_tagging and is_sent else {}
    try:
        if is_sent or not (is_tagging or WORDS[name].lead):
            with transaction.atomic():
                items = _bulk(request, form, name, options)
            return _done(request, name, items)
        return _asked(request, form, name)
    except AppError as error:
        if is_tagging and is_sent:
            return _asked(request, form, name, problem=error.detail)
        return _refused(request, error.detail)


def _bulk(request: PageRequest, form: VMBulkForm, name: str, options: dict[str, Any]) -> list[Item]:
    if name == FOR_GOOD:
        name, options = "delete", {"permanent": True}
    return vms_bulk(actor=request.user, action=name, vms=form.vm_ids, **options)


def _asked(request: PageRequest, form: VMBulkForm, name: str, problem: str = "") -> HttpResponse:
    """What would happen to each. Which tags is asked for here, so of them it is only who would get them."""
    is_tagging = name in TAGGING
    tried, options = ("untag", {"tags": ["any"]}) if is_tagging else (name, {})
    items = preview(lambda: _bulk(request, form, tried, options))
    possible = sum(item.error is None for item in items)
    for_good = any(item.operation and item.operation.kind == "vm.delete" for item in items)
    words = TO_TRASH if name == "delete" and settings.TRASH_HOURS and not for_good else WORDS[name]
    return _panel(
        request,
        {
            "title": f"Tags of {_machines(len(items))}" if is_tagging else f"{words.label} {_machines(possible)}?",
            "lead": words.lead,
            "label": words.label,
            "action": name,
            "items": items,
            "vm_ids": form.vm_ids,
            "possible": possible,
            "problem": problem,
            "is_tagging": is_tagging,
            "tags": form.cleaned_data["tags"],
            "word": f"delete {possible}" if for_good and possible else "",
        },
    )


def _done(request: PageRequest, name: str, items: list[Item]) -> HttpResponse:
    refused = sum(item.error is not None for item in items)
    label = WORDS[name].label
    title = f"{label}: {_machines(len(items) - refused)} accepted"
    if refused:
        title += f", {refused} refused"
    ordered = sorted(items, key=lambda item: item.error is None)
    response = _panel(request, {"title": title, "items": ordered, "is_done": True})
    response["HX-Trigger"] = "returned"  # the list behind the dialog asks again
    return response


def _refused(request: PageRequest, problem: str) -> HttpResponse:
    return _panel(request, {"title": "This cannot be done", "problem": problem, "is_done": True})


def _machines(number: int) -> str:
    return f"{number} machine{pluralize(number)}"


def _panel(request: PageRequest, context: dict[str, Any]) -> HttpResponse:
    return show(request, "compute/vm_bulk.html", "compute/vm_bulk_panel.html", {"section": "vms", **context})
