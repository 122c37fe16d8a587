"""A restored backup: nothing of then is carried out, everybody signs in again, and what differs is shown."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.compute.models import VM, Phase
from apps.dashboard.selectors import differences_for
from apps.dashboard.services import installation_mark_restored
from apps.errors import Forbidden
from apps.hosts.capacity import Foreign, foreign_record
from apps.hosts.models import Installation
from apps.operations.models import ACTIVE, Operation
from apps.operations.services import operation_create

MADE_AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
UNKNOWN = "0f6e1c5e-4f0e-4f43-9a43-9f2f1a3c4d5e"


@pytest.fixture
def restored(admin: Any, make_vm: Callable[..., Any], host: Any) -> Any:
    """One VM at rest, one that was being made, one that was being deleted, one gone from its host."""
    vm = make_vm(admin, "web-1", host=host)
    type(host).objects.update(boot_id="0f6e1c5e")
    make_vm(admin, "half", host=host, phase=Phase.CREATING)
    going = make_vm(admin, "going", host=host, phase=Phase.DELETING)
    make_vm(admin, "gone", host=host, missing=True)
    operation_create(kind="vm.delete", target_type="vm", target=going, actor=admin, deletes=True)
    Installation.objects.get_or_create(id="1a2b3c4d")
    installation_mark_restored(made_at=MADE_AT)
    foreign_record(
        host_id=host.pk,
        domains=[
            Foreign(uuid=UNKNOWN, name="made-later", power="running", vcpus=1, memory_mib=64, ours=True),  # type: ignore[arg-type]
            Foreign(uuid=admin.pk, name="theirs", power="running", vcpus=1, memory_mib=64),
        ],
    )
    return vm


def test_what_was_under_way_is_ended_and_not_carried_out(restored: Any) -> None:
    assert not Operation.objects.filter(status__in=ACTIVE).exists()
    operation = Operation.objects.get()
    assert (operation.error_code, operation.retryable) == ("installation.restored", False)
    phases = dict(VM.objects.values_list("name", "phase"))
    assert phases == {"web-1": "ready", "half": "error", "going": "error", "gone": "ready"}
    restored.refresh_from_db()
    assert restored.fence > 999_999, "a host that has seen more operations would refuse ours"
    assert restored.host.boot_id == "", "a reboot since then would start what was on at that time"


def test_everybody_signs_in_again(client: Any, admin: Any) -> None:
    client.force_login(admin)
    assert client.get("/").status_code == 200
    installation_mark_restored(made_at=MADE_AT)
    assert client.get("/").status_code == 302


def test_the_overview_says_it_until_somebody_has_looked(client: Any, admin: Any, restored: Any) -> None:
    admin.refresh_from_db()
    client.force_login(admin)
    page = client.get("/").content.decode()
    assert "from a backup of 2 January 2026, 03:04 UTC" in page
    assert "1 machine on the hosts is not in it, 1 in it is on no host" in page
    page = client.get("/differences/").content.decode()
    assert "made-later" in page and UNKNOWN in page and ">gone<" in page
    assert "theirs" not in page and "web-1" not in page
    assert client.post("/differences/confirm/").status_code == 302
    assert "from a backup of" not in client.get("/").content.decode()
    assert "made-later" in client.get("/differences/").content.decode()


def test_only_admins_are_told(client: Any, other: Any, restored: Any) -> None:
    other.refresh_from_db()
    client.force_login(other)
    assert "from a backup of" not in client.get("/").content.decode()
    assert client.get("/differences/").status_code == 403
    assert client.post("/differences/confirm/").status_code == 403
    assert Installation.objects.filter(restored_at__isnull=False).exists()
    with pytest.raises(Forbidden):
        differences_for(actor=other)


def test_the_api_says_the_same(api_for: Callable[..., Any], admin: Any, restored: Any) -> None:
    admin.refresh_from_db()
    api = api_for(admin)
    answer = api.get("/api/v1/differences/").json()
    assert answer["restored_from"] == "2026-01-02T03:04:00Z"
    assert [item["name"] for item in answer["unknown"]] == ["made-later"]
    assert [item["name"] for item in answer["missing"]] == ["gone"]
    assert api.post("/api/v1/differences/confirm/").json()["restored_at"] is None
