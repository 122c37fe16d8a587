"""``?dry_run=true`` on everything that changes something: a plan, and nothing written or rung."""

import json
import uuid
from typing import Any

import pytest

from tests.api.answers import everything, problem_of, rows
from tests.api.conftest import PUBLIC_KEY, WEEKLY, connected
from tests.imagefile.hostile import qcow2

ASKS = {"/api/v1/placements/explain/", "/api/v1/placements/what-if/"}  # places nothing by itself
ALMOST = ("dry_run=1", "dry_run=True", "dry_run=", "dryrun=true", "dry_run=true&dry_run=false", "force=1")
TOKENS = {"/api/v1/token/", "/api/v1/token/refresh/", "/api/v1/token/revoke/"}


@pytest.fixture
def client(api_for: Any, admin: Any) -> Any:
    return api_for(admin)


@pytest.fixture
def world(
    admin: Any,
    make_vm: Any,
    make_volume: Any,
    make_key: Any,
    host: Any,
    make_host: Any,
    make_snapshot: Any,
    make_schedule: Any,
    with_login: Any,
) -> dict[str, Any]:
    """One object of every kind, each in a state in which every change is accepted."""
    from django.utils import timezone

    from apps.hosts.models import Installation
    from apps.network.models import Network
    from apps.operations.services import operation_create
    from apps.placement.groups import group_create
    from apps.placement.policies import policy_create
    from apps.placement.reservations import reservation_create
    from apps.storage.models import Image, ImageCopy, Volume

    Installation.objects.update_or_create(
        defaults={"restored_at": timezone.now()}, create_defaults={"id": "1a2b3c4d", "restored_at": timezone.now()}
    )
    empty = make_host("empty", transport="ssh", user="cloud", offered_key="ssh-ed25519 AAAA", host_key="")
    vm = make_vm(admin, "web-1", host=host, root_volume=Volume.objects.create(host=host, size_gib=2))
    attached = make_volume(admin, "disk", host=host, vm=make_vm(admin, "plain", host=host))
    rescued = make_vm(admin, "rescued-1", host=host, rescue_image=vm.image)
    with_cd = make_vm(admin, "with-cd-1", host=host, cdrom=vm.image)
    disc = Image.objects.create(name="disc", format="iso")
    busy = make_vm(admin, "web-2", host=host)
    active = operation_create(kind="vm.start", target_type="vm", target=busy, actor=admin)
    failed = operation_create(kind="vm.start", target_type="vm", target=make_vm(admin, "web-3"), actor=admin)
    failed.status, failed.retryable = "failed", True
    failed.save()
    paused = make_vm(admin, "web-4", host=host, power="paused")
    trashed = make_vm(admin, "gone", host=host, phase="trashed", power="shutoff", trashed_until=timezone.now())
    network = Network.objects.create(
        host=host, owner=admin, name="shop", kind="isolated", cidr="192.168.77.0/24", libvirt_name="cs-1-shop"
    )
    image = Image.objects.create(owner=admin, name="mine", status="uploading", source_format="qcow2")
    ImageCopy.objects.create(image=Image.objects.create(owner=admin, name="old"), host=host, ready=True)
    disk = Volume.objects.create(host=host, size_gib=1)
    off = make_vm(admin, "off", host=host, power="shutoff", root_volume=disk)
    return {
        "image": image,
        "rescued": rescued,
        "with_cd": with_cd,
        "with_login": with_login(admin, "with-login-1"),
        "with_password": with_login(admin, "with-login-2", password="secret"),
        "disc": disc,
        "off": off,
        "network": network,
        "vm": vm,
        "snapshot": make_snapshot(vm),
        "paused": paused,
        "trashed": trashed,
        "schedule": make_schedule(vm),
        **connected(admin, make_vm, vm, host),
        "volume": make_volume(admin, "data", host=host),
        "attached": attached,
        "host": empty,
        "active": active,
        "failed": failed,
        "key": make_key(admin),
        "group": group_create(actor=admin, name="db", rule="affinity"),
        "policy": policy_create(actor=admin, text="{name: own, score: [{metric: memory_free}]}"),
        "reserved": reservation_create(actor=admin, name="later", vcpus=1, memory_mib=64, disk_gib=1, host=host.name),
    }


def requests(world: dict[str, Any]) -> dict[tuple[str, str], tuple[str, Any]]:
    """For each change of the API: the path with its ids, and a body that is accepted."""
    from apps.hosts.services import fingerprint_of

    vm, host = f"/api/v1/vms/{world['vm'].pk}/", f"/api/v1/hosts/{world['host'].pk}/"
    off = f"/api/v1/vms/{world['off'].pk}/"
    with_login, with_password = (f"/api/v1/vms/{world[name].pk}/" for name in ("with_login", "with_password"))
    rescued, with_cd = (f"/api/v1/vms/{world[name].pk}/" for name in ("rescued", "with_cd"))
    network = f"/api/v1/networks/{world['network'].pk}/"
    fingerprint = fingerprint_of(world["host"].offered_key)
    operations = "/api/v1/operations/"
    snapshot = f"/api/v1/snapshots/{world['snapshot'].pk}/"
    schedule = f"/api/v1/schedules/{world['schedule'].pk}/"
    image = f"/api/v1/images/{world['image'].pk}/"
    new_vm = {"name": "new", "image": "tiny", "size": "s-1vcpu-512mb"}
    volume, attached = (f"/api/v1/volumes/{world[name].pk}/" for name in ("volume", "attached"))
    passwords = {"current_password": "correct horse battery", "new_password": "staple battery correct"}
    policy = f"/api/v1/policies/{world['policy'].pk}/"
    groups = "/api/v1/placement-groups/"
    return {
        ("post", "/api/v1/vms/"): ("/api/v1/vms/", new_vm),
        ("post", "/api/v1/vms/bulk/"): ("/api/v1/vms/bulk/", {"action": "reboot", "vms": ["web-1", "nobody", "web-2"]}),
        ("patch", "/api/v1/vms/{vm_id}/"): (vm, {"protected": True, "tags": ["a"]}),
        ("delete", "/api/v1/vms/{vm_id}/"): (vm, None),
        ("post", "/api/v1/vms/{vm_id}/restore/"): (f"/api/v1/vms/{world['trashed'].pk}/restore/", {}),
        ("post", "/api/v1/vms/{vm_id}/rename/"): (f"{vm}rename/", {"name": "shop"}),
        ("post", "/api/v1/vms/{vm_id}/resize/"): (f"{vm}resize/", {"memory_mib": 128}),
        ("post", "/api/v1/vms/{vm_id}/rebuild/"): (
            f"/api/v1/vms/{world['paused'].pk}/rebuild/",
            {"image": "tiny"},
        ),
        ("post", "/api/v1/vms/{vm_id}/schedules/"): (f"{vm}schedules/", WEEKLY),
        ("patch", "/api/v1/schedules/{schedule_id}/"): (schedule, {"enabled": False}),
        ("delete", "/api/v1/schedules/{schedule_id}/"): (schedule, None),
        ("post", "/api/v1/vms/{vm_id}/pause/"): (f"{vm}pause/", {}),
        ("post", "/api/v1/vms/{vm_id}/resume/"): (f"/api/v1/vms/{world['paused'].pk}/resume/", {}),
        ("post", "/api/v1/vms/{vm_id}/start/"): (f"{vm}start/", {}),
        ("post", "/api/v1/vms/{vm_id}/shutdown/"): (f"{vm}shutdown/", {"timeout_s": 5}),
        ("post", "/api/v1/vms/{vm_id}/power-off/"): (f"{vm}power-off/", {}),
        ("post", "/api/v1/vms/{vm_id}/reboot/"): (f"{vm}reboot/", {}),
        ("post", "/api/v1/vms/{vm_id}/reset/"): (f"{vm}reset/", {}),
        ("post", "/api/v1/vms/{vm_id}/clone/"): (f"{off}clone/", {"name": "copy"}),
        ("post", "/api/v1/vms/{vm_id}/nics/"): (f"{vm}nics/", {"network": "shop"}),
        ("delete", "/api/v1/nics/{nic_id}/"): (f"/api/v1/nics/{world['nic_id']}/", None),
        ("post", "/api/v1/vms/{vm_id}/port-forwards/"): (f"{vm}port-forwards/", {"host_port": 8080, "guest_port": 80}),
        ("delete", "/api/v1/port-forwards/{forward_id}/"): (f"/api/v1/port-forwards/{world['forward_id']}/", None),
        ("post", "/api/v1/images/"): ("/api/v1/images/", {"name": "new", "size_bytes": 5}),
        ("post", "/api/v1/images/prune/"): ("/api/v1/images/prune/", {"older_than_days": 0}),
        ("patch", "/api/v1/images/{image_id}/"): (image, {"name": "other", "public": True}),
        ("delete", "/api/v1/images/{image_id}/"): (image, None),
        ("put", "/api/v1/images/{image_id}/file/"): (f"{image}file/", qcow2()),
        ("post", "/api/v1/vms/{vm_id}/image/"): (f"/api/v1/vms/{world['off'].pk}/image/", {"name": "copy"}),
        ("post", "/api/v1/vms/{vm_id}/rescue/"): (f"{vm}rescue/", {"image": "tiny"}),
        ("post", "/api/v1/vms/{vm_id}/unrescue/"): (f"{rescued}unrescue/", {}),
        ("post", "/api/v1/vms/{vm_id}/insert/"): (f"{vm}insert/", {"image": world["disc"].name}),
        ("post", "/api/v1/vms/{vm_id}/eject/"): (f"{with_cd}eject/", {}),
        ("post", "/api/v1/vms/{vm_id}/console-password/"): (f"{with_login}console-password/", {}),
        ("post", "/api/v1/vms/{vm_id}/console-password/reveal/"): (f"{with_password}console-password/reveal/", {}),
        ("post", "/api/v1/networks/"): ("/api/v1/networks/", {"name": "new", "kind": "nat", "cidr": "10.7.0.0/24"}),
        ("patch", "/api/v1/networks/{network_id}/"): (network, {"name": "other", "shared": True}),
        ("delete", "/api/v1/networks/{network_id}/"): (network, None),
        ("post", "/api/v1/differences/confirm/"): ("/api/v1/differences/confirm/", {}),
        ("post", "/api/v1/vms/{vm_id}/snapshots/"): (f"{vm}snapshots/", {"name": "new"}),
        ("delete", "/api/v1/snapshots/{snapshot_id}/"): (snapshot, None),
        ("post", "/api/v1/snapshots/{snapshot_id}/revert/"): (f"{snapshot}revert/", {}),
        ("post", "/api/v1/vms/{vm_id}/io-limits/"): (f"{vm}io-limits/", {"iops": 100}),
        ("post", "/api/v1/volumes/"): ("/api/v1/volumes/", {"name": "new", "size_gib": 1}),
        ("patch", "/api/v1/volumes/{volume_id}/"): (volume, {"name": "shop", "iops": 5}),
        ("delete", "/api/v1/volumes/{volume_id}/"): (volume, None),
        ("post", "/api/v1/volumes/{volume_id}/attach/"): (f"{volume}attach/", {"vm": "plain"}),
        ("post", "/api/v1/volumes/{volume_id}/detach/"): (f"{attached}detach/", {}),
        ("post", "/api/v1/volumes/{volume_id}/resize/"): (f"{attached}resize/", {"size_gib": 9}),
        ("post", "/api/v1/operations/{operation_id}/cancel/"): (f"{operations}{world['active'].pk}/cancel/", {}),
        ("post", "/api/v1/operations/{operation_id}/retry/"): (f"{operations}{world['failed'].pk}/retry/", {}),
        ("post", "/api/v1/hosts/"): ("/api/v1/hosts/", {"name": "new", "uri": "qemu+tls://new.example/system"}),
        ("patch", "/api/v1/hosts/{host_id}/"): (host, {"enabled": False, "accelerator": "kvm", "memory_ratio": 0.5}),
        ("delete", "/api/v1/hosts/{host_id}/"): (host, None),
        ("post", "/api/v1/hosts/{host_id}/trust/"): (f"{host}trust/", {"fingerprint": fingerprint}),
        ("post", "/api/v1/hosts/{host_id}/probe/"): (f"{host}probe/", {}),
        ("post", "/api/v1/placement-groups/"): (groups, {"name": "new", "rule": "soft-affinity"}),
        ("delete", "/api/v1/placement-groups/{group_id}/"): (f"{groups}{world['group'].pk}/", None),
        ("post", "/api/v1/policies/"): ("/api/v1/policies/", {"text": "{name: new, score: [{metric: vms}]}"}),
        ("put", "/api/v1/policies/{policy_id}/"): (policy, {"text": "{name: own, score: [{metric: vms}]}"}),
        ("delete", "/api/v1/policies/{policy_id}/"): (policy, None),
        ("post", "/api/v1/placements/"): (
            "/api/v1/placements/",
            {"name": "later", "vcpus": 1, "memory_mib": 512, "disk_gib": 5},
        ),
        ("post", "/api/v1/placements/batch/"): (
            "/api/v1/placements/batch/",
            {"placements": [{"name": "later", "vcpus": 1, "memory_mib": 512, "disk_gib": 5}]},
        ),
        ("delete", "/api/v1/placements/{placement_id}/"): (f"/api/v1/placements/{world['reserved'].pk}/", None),
        ("post", "/api/v1/ssh-keys/"): ("/api/v1/ssh-keys/", {"name": "new", "public_key": PUBLIC_KEY}),
        ("post", "/api/v1/vms/{vm_id}/console/"): (f"{vm}console/", {"kind": "serial"}),
        ("delete", "/api/v1/ssh-keys/{key_id}/"): (f"/api/v1/ssh-keys/{world['key'].pk}/", None),
        ("post", "/api/v1/me/password/"): ("/api/v1/me/password/", passwords),
    }


def form(body: Any) -> dict[str, str]:
    """JSON, or the bytes of a file."""
    return {"content_type": "application/octet-stream"} if isinstance(body, bytes) else {"format": "json"}


def documented_changes() -> set[tuple[str, str]]:
    from drf_spectacular.generators import SchemaGenerator

    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return {(method, path) for path, found in paths.items() for method in found if method != "get"}


BULK = ("post", "/api/v1/vms/bulk/")  # says beside the plan what would become of each
CHANGES = [
    ("post", "/api/v1/vms/"),
    BULK,
    ("patch", "/api/v1/vms/{vm_id}/"),
    ("delete", "/api/v1/vms/{vm_id}/"),
    ("post", "/api/v1/vms/{vm_id}/restore/"),
    *(("post", f"/api/v1/vms/{{vm_id}}/{v}/") for v in ("pause", "resume", "resize", "rebuild", "schedules")),
    ("patch", "/api/v1/schedules/{schedule_id}/"),
    ("delete", "/api/v1/schedules/{schedule_id}/"),
    *(("post", f"/api/v1/vms/{{vm_id}}/{v}/") for v in ("rename", "start", "shutdown", "power-off", "reboot", "reset")),
    ("post", "/api/v1/vms/{vm_id}/clone/"),
    ("post", "/api/v1/vms/{vm_id}/nics/"),
    ("delete", "/api/v1/nics/{nic_id}/"),
    ("post", "/api/v1/vms/{vm_id}/port-forwards/"),
    ("delete", "/api/v1/port-forwards/{forward_id}/"),
    ("post", "/api/v1/images/"),
    ("post", "/api/v1/images/prune/"),
    ("patch", "/api/v1/images/{image_id}/"),
    ("delete", "/api/v1/images/{image_id}/"),
    ("put", "/api/v1/images/{image_id}/file/"),
    ("post", "/api/v1/vms/{vm_id}/image/"),
    *(("post", f"/api/v1/vms/{{vm_id}}/{v}/") for v in ("rescue", "unrescue", "insert", "eject")),
    ("post", "/api/v1/networks/"),
    ("patch", "/api/v1/networks/{network_id}/"),
    ("delete", "/api/v1/networks/{network_id}/"),
    ("post", "/api/v1/differences/confirm/"),
    ("post", "/api/v1/vms/{vm_id}/snapshots/"),
    ("delete", "/api/v1/snapshots/{snapshot_id}/"),
    ("post", "/api/v1/placement-groups/"),
    ("delete", "/api/v1/placement-groups/{group_id}/"),
    ("post", "/api/v1/policies/"),
    ("put", "/api/v1/policies/{policy_id}/"),
    ("delete", "/api/v1/policies/{policy_id}/"),
    ("post", "/api/v1/placements/"),
    ("post", "/api/v1/placements/batch/"),
    ("delete", "/api/v1/placements/{placement_id}/"),
    ("post", "/api/v1/snapshots/{snapshot_id}/revert/"),
    ("post", "/api/v1/vms/{vm_id}/io-limits/"),
    ("post", "/api/v1/volumes/"),
    ("patch", "/api/v1/volumes/{volume_id}/"),
    ("delete", "/api/v1/volumes/{volume_id}/"),
    *(("post", f"/api/v1/volumes/{{volume_id}}/{verb}/") for verb in ("attach", "detach", "resize")),
    ("post", "/api/v1/operations/{operation_id}/cancel/"),
    ("post", "/api/v1/operations/{operation_id}/retry/"),
    ("post", "/api/v1/hosts/"),
    ("patch", "/api/v1/hosts/{host_id}/"),
    ("delete", "/api/v1/hosts/{host_id}/"),
    ("post", "/api/v1/hosts/{host_id}/trust/"),
    ("post", "/api/v1/hosts/{host_id}/probe/"),
    ("post", "/api/v1/ssh-keys/"),
    *(("post", f"/api/v1/vms/{{vm_id}}/{v}/") for v in ("console", "console-password", "console-password/reveal")),
    ("delete", "/api/v1/ssh-keys/{key_id}/"),
    ("post", "/api/v1/me/password/"),
]


def test_no_change_is_missing_here() -> None:
    assert {change for change in documented_changes() if change[1] not in TOKENS | ASKS} == set(CHANGES)


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was rung."""
    from celery import current_app

    rung: list[str] = []
    monkeypatch.setattr(current_app._get_current_object(), "send_task", lambda name, **_more: rung.append(name))
    return rung


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: " ".join(change))
def test_a_dry_run_answers_with_a_plan_and_writes_nothing(
    client: Any,
    world: dict[str, Any],
    change: tuple[str, str],
    bells: list[str],
    own_state_dir: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    path, body = requests(world)[change]
    before, files = everything(), sorted(own_state_dir.rglob("*"))
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        response = getattr(client, change[0])(f"{path}?dry_run=true", body, **form(body))

    assert response.status_code == 200, response.content
    assert set(response.json()) == ({"plan", "accepted", "refused", "results"} if change == BULK else {"plan"})
    plan = response.json()["plan"]
    assert set(plan) == {"host", "changes", "restart_needed", "reversible"}
    assert plan["changes"] and all(isinstance(line, str) and line for line in plan["changes"])
    assert "Location" not in response
    assert everything() == before
    assert sorted(own_state_dir.rglob("*")) == files
    assert callbacks == [] and bells == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: " ".join(change))
def test_the_same_without_it_changes_something(client: Any, world: dict[str, Any], change: tuple[str, str]) -> None:
    """The control: each body above is really accepted, so the test before says something."""
    path, body = requests(world)[change]
    before = everything()
    response = getattr(client, change[0])(path, body, **form(body))
    assert response.status_code in (200, 201, 202, 204), response.content
    assert everything() != before


def test_a_real_change_rings_after_the_commit(
    client: Any, world: dict[str, Any], bells: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(f"/api/v1/vms/{world['vm'].pk}/start/").status_code == 202
        assert bells == []
    assert bells == ["operations.run"]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: " ".join(change))
def test_what_is_almost_a_dry_run_changes_nothing(
    client: Any, world: dict[str, Any], subtests: pytest.Subtests, change: tuple[str, str]
) -> None:
    path, body = requests(world)[change]
    before = everything()
    for query in ALMOST:
        with subtests.test(query=query):
            field = query.split("=")[0]
            problem_of(getattr(client, change[0])(f"{path}?{query}", body, **form(body)), 422, field=field)
            assert everything() == before


def test_dry_run_false_is_a_real_run(client: Any, world: dict[str, Any]) -> None:
    assert client.post(f"/api/v1/vms/{world['vm'].pk}/start/?dry_run=false").status_code == 202


def test_a_dry_run_validates_like_the_real_thing(client: Any, world: dict[str, Any]) -> None:
    for body in ({"name": "new"}, {"name": "new", "image": "none"}, {"name": "web-1", "image": "tiny", "size": "x"}):
        real = client.post("/api/v1/vms/", body, **form(body))
        dry = client.post("/api/v1/vms/?dry_run=true", body, **form(body))
        assert (dry.status_code, dry.json()) == (real.status_code, real.json())
    found = problem_of(client.post(f"/api/v1/vms/{world['active'].target_id}/start/?dry_run=true"), 409)
    assert found["operation"] == str(world["active"].pk)


def test_a_dry_run_uses_no_idempotency_key(client: Any, world: dict[str, Any]) -> None:
    key = {"HTTP_IDEMPOTENCY_KEY": str(uuid.uuid4())}
    path = f"/api/v1/vms/{world['vm'].pk}/start/"
    assert client.post(f"{path}?dry_run=true", **key).status_code == 200
    assert client.post(path, **key).status_code == 202
    assert client.post(f"{path}?dry_run=true", **key).status_code == 409  # it is busy now: not the kept answer


def test_the_plan_of_a_new_vm_says_what_will_be_done(client: Any, world: dict[str, Any]) -> None:
    body = {"name": "new", "image": "tiny", "size": "s-1vcpu-512mb", "host": "h1"}
    plan = client.post("/api/v1/vms/?dry_run=true", body, **form(body)).json()["plan"]
    assert plan["host"] == "h1"
    text = json.dumps(plan["changes"])
    for part in ("1 vCPU", "512 MiB", "send the image tiny to h1", "new-"):
        assert part in text


def test_a_member_learns_no_host_from_a_plan(api_for: Any, member: Any, host: Any, image: Any) -> None:
    body = {"name": "new", "image": "tiny", "size": "s-1vcpu-512mb"}
    response = api_for(member).post("/api/v1/vms/?dry_run=true", body, **form(body))
    assert response.json()["plan"]["host"] is None
    assert "h1" not in response.content.decode()
    assert rows()["compute.VM"] == 0
