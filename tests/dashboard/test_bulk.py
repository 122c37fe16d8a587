"""Many machines at once, on the page: what is asked first, what is done at once, and what each answered."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.compute.models import VM
from apps.operations.models import Operation
from tests.api.answers import everything

URL = "/vms/bulk/"


@pytest.fixture
def vms(member: Any, make_vm: Callable[..., Any]) -> list[VM]:
    return [make_vm(member, f"web-{number}") for number in (1, 2, 3)]


@pytest.fixture
def page(client: Any, member: Any) -> Any:
    client.force_login(member)
    return client


def send(page: Any, action: str, vms: list[Any], **more: Any) -> Any:
    return page.post(URL, {"action": action, "vm": [str(getattr(vm, "pk", vm)) for vm in vms], **more})


def test_what_is_harmless_is_done_at_once(page: Any, vms: list[VM]) -> None:
    answer = send(page, "shutdown", vms)
    assert answer.status_code == 200
    assert "Shut down: 3 machines accepted" in answer.content.decode()
    assert answer["HX-Trigger"] == "returned"
    assert Operation.objects.filter(kind="vm.shutdown").count() == 3


@pytest.mark.usefixtures("without_trash")
@pytest.mark.parametrize(("action", "kind"), [("power-off", "vm.power-off"), ("delete", "vm.delete")])
def test_what_is_dangerous_is_shown_first(page: Any, vms: list[VM], action: str, kind: str) -> None:
    VM.objects.filter(pk=vms[1].pk).update(phase="error" if action == "power-off" else "ready", protected=True)
    before = everything()
    shown = send(page, action, vms)
    text = shown.content.decode()
    assert everything() == before
    assert shown.context["possible"] == 2
    assert "2 machines?" in text
    assert ("web-2 is protected" in text) or ("web-2: it failed" in text)
    done = send(page, action, vms, intent="do")
    assert Operation.objects.filter(kind=kind).count() == 2
    assert "2 machines accepted, 1 refused" in done.content.decode()


@pytest.mark.usefixtures("without_trash")
def test_deletion_asks_for_a_word_and_nothing_possible_has_no_button(page: Any, vms: list[VM]) -> None:
    assert "delete 3" in send(page, "delete", vms).content.decode()
    VM.objects.update(protected=True)
    text = send(page, "delete", vms).content.decode()
    assert "to confirm" not in text
    assert " disabled>Delete<" in text


def test_tags_are_asked_for_and_kept_when_they_are_wrong(page: Any, vms: list[VM]) -> None:
    VM.objects.filter(pk=vms[0].pk).update(tags=[str(number) for number in range(20)])
    asked = send(page, "tag", vms)
    assert "Tags of 3 machines" in asked.content.decode()
    assert all(item.error is None for item in asked.context["items"])
    wrong = send(page, "tag", vms, intent="do", tags="x" * 64)
    assert "A tag has 1 to 63" in wrong.content.decode() and "x" * 64 in wrong.content.decode()
    assert "Say which tags" in send(page, "tag", vms, intent="do", tags=" , ").content.decode()
    done = send(page, "tag", vms, intent="do", tags="prod, web")
    assert "Tag: 2 machines accepted, 1 refused" in done.content.decode()
    assert VM.objects.filter(tags=["prod", "web"]).count() == 2
    send(page, "untag", vms, intent="do", tags="prod")
    assert VM.objects.filter(tags=["web"]).count() == 2


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"action": "start"},
        {"action": "explode", "vm": "x"},
        {"action": "reset", "vm": "x"},
        {"action": "start", "vm": ["x"] * 101},
        {"action": "tag", "vm": "x", "tags": "y" * 2000},
    ],
)
def test_nonsense_is_said_and_does_nothing(page: Any, vms: list[VM], sent: dict[str, Any]) -> None:
    before = everything()
    answer = page.post(URL, sent)
    assert (answer.status_code, answer.context["title"]) == (200, "This cannot be done")
    assert everything() == before


def test_foreign_machines_stay_unknown(client: Any, other: Any, vms: list[VM]) -> None:
    client.force_login(other)
    before = everything()
    text = send(client, "delete", vms, intent="do").content.decode()
    assert everything() == before
    assert "web-1" not in text and "0 machines accepted, 3 refused" in text


def in_trash(vms: list[VM]) -> None:
    VM.objects.filter(pk__in=[vm.pk for vm in vms]).update(
        phase="trashed", power="shutoff", desired_power="off", trashed_until=timezone.now() + timedelta(hours=1)
    )


def test_many_come_back_from_the_trash_at_once(page: Any, vms: list[VM]) -> None:
    in_trash(vms[:2])
    done = send(page, "restore", vms)
    assert "Restore: 2 machines accepted, 1 refused" in done.content.decode()
    assert "web-3 is not in the trash" in done.content.decode()
    assert VM.objects.filter(phase="ready", desired_power="off", trashed_until=None).count() == 2
    assert not Operation.objects.exists()


@pytest.mark.parametrize("hours", [0, 24])
def test_many_leave_the_trash_for_good_after_a_word(page: Any, vms: list[VM], settings: Any, hours: int) -> None:
    settings.TRASH_HOURS = hours
    in_trash(vms)
    VM.objects.filter(pk=vms[1].pk).update(protected=True)
    before = everything()
    shown = send(page, "delete-for-good", vms).content.decode()
    assert everything() == before
    assert "Delete for good 2 machines?" in shown and "Type <code>delete 2</code>" in shown
    assert "Nobody can undo this" in shown and "web-2 is protected" in shown
    done = send(page, "delete-for-good", vms, intent="do").content.decode()
    assert "Delete for good: 2 machines accepted, 1 refused" in done
    assert set(Operation.objects.values_list("kind", "target_name")) == {("vm.delete", "web-1"), ("vm.delete", "web-3")}


def test_a_viewer_has_no_boxes(client: Any, viewer: Any, make_vm: Callable[..., Any]) -> None:
    make_vm(viewer, "seen")
    client.force_login(viewer)
    for path in ("/vms/", "/vms/trash/"):
        text = client.get(path).content.decode()
        assert "seen" in text and "checkbox" not in text and "vm-bulk" not in text
        in_trash(list(VM.objects.all()))
