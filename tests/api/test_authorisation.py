"""Who may do what: every route and method of the API against every kind of person.

The rows are compared with the URL resolver, so a new route without a row is a failing test.
"""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.answers import problem_of, undone
from tests.api.conftest import PUBLIC_KEY, WEEKLY
from tests.api.routes import api_routes
from tests.imagefile.hostile import qcow2

ACTORS = ("anonymous", "member", "other", "viewer", "read-only token", "admin")
OWN, EVERYBODY, ADMINS, PERSONAL = "own", "everybody", "admins", "personal"

FILE = qcow2()

# Route and method: whose it is, what success answers, and a body that is accepted.
ROWS: dict[tuple[str, str], tuple[str, int, Any]] = {
    ("sizes/", "get"): (EVERYBODY, 200, None),
    ("images/", "get"): (EVERYBODY, 200, None),
    ("images/", "post"): (EVERYBODY, 201, {"name": "new"}),
    ("images/catalogue/", "get"): (EVERYBODY, 200, None),
    ("images/prune/", "post"): (ADMINS, 202, {}),
    ("images/{own_image_id}/", "get"): (OWN, 200, None),
    ("images/{own_image_id}/", "patch"): (OWN, 200, {"title": "x"}),
    ("images/{own_image_id}/", "delete"): (OWN, 202, None),
    ("images/{own_image_id}/file/", "put"): (OWN, 202, FILE),
    ("vms/{off_id}/image/", "post"): (OWN, 202, {"name": "copy"}),
    ("events/", "get"): (EVERYBODY, 200, None),
    ("operations/", "get"): (EVERYBODY, 200, None),
    ("operations/{operation_id}/", "get"): (OWN, 200, None),
    ("operations/{operation_id}/cancel/", "post"): (OWN, 200, {}),
    ("operations/{operation_id}/retry/", "post"): (OWN, 202, {}),
    ("vms/", "get"): (EVERYBODY, 200, None),
    ("vms/", "post"): (EVERYBODY, 202, {"name": "new", "image": "tiny", "size": "s-1vcpu-512mb"}),
    ("vms/bulk/", "post"): (EVERYBODY, 200, {"action": "tag", "vms": ["web-1"], "tags": ["x"]}),
    ("vms/{vm_id}/", "get"): (OWN, 200, None),
    ("vms/{vm_id}/", "patch"): (OWN, 200, {"notes": "x"}),
    ("vms/{vm_id}/", "delete"): (OWN, 202, None),
    ("vms/{vm_id}/restore/", "post"): (OWN, 200, {}),
    ("vms/{vm_id}/rename/", "post"): (OWN, 200, {"name": "shop"}),
    ("vms/{vm_id}/start/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/shutdown/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/power-off/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/reboot/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/reset/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/snapshots/", "get"): (OWN, 200, None),
    ("vms/{vm_id}/snapshots/", "post"): (OWN, 202, {"name": "new"}),
    ("snapshots/", "get"): (EVERYBODY, 200, None),
    ("snapshots/{snapshot_id}/", "get"): (OWN, 200, None),
    ("snapshots/{snapshot_id}/", "delete"): (OWN, 202, None),
    ("snapshots/{snapshot_id}/revert/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/resize/", "post"): (OWN, 202, {"memory_mib": 128}),
    ("vms/{vm_id}/rebuild/", "post"): (OWN, 202, {"image": "tiny"}),
    ("vms/{vm_id}/schedules/", "get"): (OWN, 200, None),
    ("vms/{vm_id}/schedules/", "post"): (OWN, 201, WEEKLY),
    ("schedules/{schedule_id}/", "get"): (OWN, 200, None),
    ("schedules/{schedule_id}/", "patch"): (OWN, 200, {"enabled": False}),
    ("schedules/{schedule_id}/", "delete"): (OWN, 204, None),
    ("vms/{vm_id}/pause/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/resume/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/clone/", "post"): (OWN, 202, {"name": "copy"}),
    ("vms/{vm_id}/io-limits/", "get"): (OWN, 200, None),
    ("vms/{vm_id}/io-limits/", "post"): (OWN, 202, {"iops": 100}),
    ("volumes/", "get"): (EVERYBODY, 200, None),
    ("volumes/", "post"): (EVERYBODY, 202, {"name": "new", "size_gib": 1}),
    ("volumes/{volume_id}/", "get"): (OWN, 200, None),
    ("volumes/{volume_id}/", "patch"): (OWN, 200, {"name": "shop"}),
    ("volumes/{volume_id}/", "delete"): (OWN, 202, None),
    ("volumes/{volume_id}/attach/", "post"): (OWN, 202, {"vm": "plain"}),
    ("volumes/{volume_id}/detach/", "post"): (OWN, 202, {}),
    ("volumes/{volume_id}/resize/", "post"): (OWN, 202, {"size_gib": 9}),
    ("vms/{vm_id}/rescue/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/unrescue/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/insert/", "post"): (OWN, 202, {"image": "disc"}),
    ("vms/{vm_id}/eject/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/console-password/", "post"): (OWN, 202, {}),
    ("vms/{vm_id}/metrics/", "get"): (OWN, 200, None),
    ("hosts/{host_id}/metrics/", "get"): (ADMINS, 200, None),
    ("hosts/", "get"): (ADMINS, 200, None),
    ("hosts/", "post"): (ADMINS, 202, {"name": "new", "uri": "qemu+ssh://cloud@new.example/system"}),
    ("hosts/{host_id}/", "get"): (ADMINS, 200, None),
    ("hosts/{host_id}/", "patch"): (ADMINS, 200, {"enabled": False}),
    ("hosts/{host_id}/", "delete"): (ADMINS, 204, None),
    ("hosts/{host_id}/trust/", "post"): (ADMINS, 202, {"fingerprint": "SHA256:dummy"}),
    ("hosts/{host_id}/probe/", "post"): (ADMINS, 202, {}),
    ("vms/{vm_id}/nics/", "get"): (OWN, 200, None),
    ("vms/{vm_id}/nics/", "post"): (OWN, 202, {"network": "shop"}),
    ("nics/{nic_id}/", "delete"): (OWN, 202, None),
    ("vms/{vm_id}/port-forwards/", "get"): (OWN, 200, None),
    ("vms/{vm_id}/port-forwards/", "post"): (OWN, 202, {"host_port": 8080, "guest_port": 80}),
    ("port-forwards/{forward_id}/", "delete"): (OWN, 202, None),
    ("networks/", "get"): (EVERYBODY, 200, None),
    ("networks/", "post"): (EVERYBODY, 202, {"name": "new", "kind": "isolated"}),
    ("networks/{network_id}/", "get"): (OWN, 200, None),
    ("networks/{network_id}/", "patch"): (OWN, 200, {"name": "other"}),
    ("networks/{network_id}/", "delete"): (OWN, 202, None),
    ("differences/", "get"): (ADMINS, 200, None),
    ("differences/confirm/", "post"): (ADMINS, 200, {}),
    ("placements/", "get"): (ADMINS, 200, None),
    ("placements/", "post"): (ADMINS, 201, {"name": "later", "vcpus": 1, "memory_mib": 512, "disk_gib": 5}),
    ("placements/batch/", "post"): (
        ADMINS,
        201,
        {"placements": [{"name": "later", "vcpus": 1, "memory_mib": 512, "disk_gib": 5}]},
    ),
    ("placements/{placement_id}/", "get"): (ADMINS, 200, None),
    ("placements/{placement_id}/", "delete"): (ADMINS, 204, None),
    ("placements/what-if/", "post"): (ADMINS, 200, {"vcpus": 1, "memory_mib": 512, "disk_gib": 5}),
    ("placements/explain/", "post"): (ADMINS, 200, {"vcpus": 1, "memory_mib": 512, "disk_gib": 5}),
    ("placement-groups/", "get"): (EVERYBODY, 200, None),
    ("placement-groups/", "post"): (EVERYBODY, 201, {"name": "new", "rule": "affinity"}),
    ("placement-groups/{group_id}/", "get"): (OWN, 200, None),
    ("placement-groups/{group_id}/", "delete"): (OWN, 204, None),
    ("policies/", "get"): (EVERYBODY, 200, None),
    ("policies/", "post"): (ADMINS, 201, {"text": "{name: new, score: [{metric: vms}]}"}),
    ("policies/{policy_id}/", "get"): (EVERYBODY, 200, None),
    ("policies/{policy_id}/", "put"): (ADMINS, 200, {"text": "{name: own, score: [{metric: vms}]}"}),
    ("policies/{policy_id}/", "delete"): (ADMINS, 204, None),
    ("policies/{policy_id}/history/", "get"): (EVERYBODY, 200, None),
    ("ssh-keys/", "get"): (PERSONAL, 200, None),
    ("vms/{vm_id}/console/", "post"): (OWN, 201, {"kind": "serial"}),
    ("ssh-keys/", "post"): (PERSONAL, 201, {"name": "new", "public_key": PUBLIC_KEY}),
    ("ssh-keys/{key_id}/", "get"): (PERSONAL, 200, None),
    ("ssh-keys/{key_id}/", "delete"): (PERSONAL, 204, None),
    ("me/", "get"): (EVERYBODY, 200, None),
}
# Answered to everybody, of one's own account, or to the one who asked: their own tests tell their rules.
ELSEWHERE = {
    ("token/", "post"),
    ("token/refresh/", "post"),
    ("token/revoke/", "post"),
    ("me/password/", "post"),
    ("vms/{vm_id}/console-password/reveal/", "post"),
    ("schema/", "get"),
    ("docs/", "get"),
}


def expected(whose: str, success: int, method: str, actor: str, route: str) -> int:
    """The status that this actor gets. The objects in paths belong to ``member``."""
    if actor == "anonymous":
        return 401
    if method != "get" and actor in ("viewer", "read-only token"):
        return 403
    if whose == ADMINS:
        return success if actor == "admin" else 403
    has_object = "{" in route
    if whose == OWN and has_object:
        return success if actor in ("member", "admin", "read-only token") else 404
    if whose == PERSONAL and has_object:
        return success if actor in ("member", "read-only token") else 404
    return success


def test_every_route_has_a_row() -> None:
    as_resolved = {"own_image_id": "image_id", "off_id": "vm_id"}  # objects of the world in another state
    rows = set()
    for route, method in ROWS:
        for name, resolved in as_resolved.items():
            route = route.replace(name, resolved)
        rows.add((route, method))
    assert api_routes() == rows | ELSEWHERE


@pytest.fixture
def client_of(api_for: Any, member: Any, other: Any, viewer: Any, admin: Any) -> Callable[[str], Any]:
    people = {"anonymous": None, "member": member, "other": other, "viewer": viewer, "admin": admin}

    def make(actor: str) -> Any:
        if actor != "read-only token":
            return api_for(people[actor])
        from rest_framework.test import APIClient

        from apps.accounts.models import Scope
        from apps.accounts.services import token_issue

        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_issue(user=member, scope=Scope.READ).access}")
        return client

    return make


def filled(route: str, ids: dict[str, Any]) -> str:
    if route.endswith("retry/"):
        ids = {**ids, "operation_id": ids["failed_id"]}
    if route.endswith(("resume/", "rebuild/")):
        ids = {**ids, "vm_id": ids["paused_id"]}
    if route.endswith("restore/"):
        ids = {**ids, "vm_id": ids["trashed_id"]}
    if route.endswith("unrescue/"):
        ids = {**ids, "vm_id": ids["rescued_id"]}
    if route.endswith("console-password/"):
        ids = {**ids, "vm_id": ids["with_login_id"]}
    if route.endswith("eject/"):
        ids = {**ids, "vm_id": ids["with_cd_id"]}
    if route.endswith("clone/"):
        ids = {**ids, "vm_id": ids["off_id"]}
    if route.endswith("detach/"):
        ids = {**ids, "volume_id": ids["attached_id"]}
    return "/api/v1/" + route.format(**ids)


def form(body: Any) -> dict[str, str]:
    """JSON, or the bytes of a file."""
    return {"content_type": "application/octet-stream"} if isinstance(body, bytes) else {"format": "json"}


CODES = {401: "auth.required", 403: None, 404: None}


@pytest.mark.parametrize(("route", "method"), sorted(ROWS), ids=lambda value: str(value))
def test_the_matrix(
    world: dict[str, Any],
    client_of: Any,
    subtests: pytest.Subtests,
    settings: Any,
    own_state_dir: Path,
    route: str,
    method: str,
) -> None:
    whose, success, body = ROWS[route, method]
    if isinstance(body, dict) and body.get("fingerprint"):
        body = {"fingerprint": world["fingerprint"]}
    for actor in ACTORS:
        with subtests.test(actor=actor), undone():
            settings.STATE_DIR = own_state_dir / actor if isinstance(body, bytes) else own_state_dir
            response = getattr(client_of(actor), method)(filled(route, world), body, **form(body))
            status = expected(whose, success, method, actor, route)
            if status < 400:
                assert response.status_code == status, response.content
            else:
                problem_of(response, status, CODES[status])


@pytest.mark.parametrize(("route", "method"), sorted(row for row in ROWS if "{" in row[0]), ids=str)
def test_what_is_missing_looks_like_what_is_foreign(
    world: dict[str, Any], client_of: Any, subtests: pytest.Subtests, route: str, method: str
) -> None:
    whose, _success, body = ROWS[route, method]
    nowhere = {name: uuid.uuid4() for name in world}
    for actor in ("member", "admin"):
        with subtests.test(actor=actor), undone():
            missing = getattr(client_of(actor), method)(filled(route, nowhere), body, **form(body))
            if whose == ADMINS and actor != "admin":
                problem_of(missing, 403, "role.admin_only")
                continue
            absent = problem_of(missing, 404)
            if whose in (OWN, PERSONAL):
                foreign = getattr(client_of("other"), method)(filled(route, world), body, **form(body))
                assert problem_of(foreign, 404) == absent


def test_lists_hold_nothing_foreign(world: dict[str, Any], client_of: Any) -> None:
    for route in ("vms/", "snapshots/", "volumes/", "operations/", "events/", "ssh-keys/"):
        assert client_of("other").get(f"/api/v1/{route}").json()["results"] == [], route
        assert client_of("viewer").get(f"/api/v1/{route}").json()["results"] == [], route
    assert client_of("admin").get("/api/v1/ssh-keys/").json()["results"] == []


def test_filters_reach_nothing_foreign(world: dict[str, Any], client_of: Any) -> None:
    client = client_of("other")
    for query in (
        f"vms/?host={world['host_id']}",
        "vms/?search=web",
        "vms/?image=tiny",
        "snapshots/?vm=web-1",
        f"snapshots/?vm={world['vm_id']}",
        f"events/?target={world['vm_id']}",
    ):
        assert client.get(f"/api/v1/{query}").json()["results"] == []
    assert client.get("/api/v1/volumes/?vm=plain").json()["results"] == []
    for query in (f"operations/?target={world['vm_id']}", "operations/?target=web-1"):
        assert client.get(f"/api/v1/{query}").json()["results"] == []


@pytest.mark.parametrize(
    ("field", "reference", "status", "code"),
    [
        ("ssh_keys", "key_id", 422, "ssh_key.unknown"),
        ("ssh_keys", "vm_id", 422, "ssh_key.unknown"),
        ("image", "vm_id", 422, "image.unknown"),
        ("image", "host_id", 422, "image.unknown"),
        ("host", "host_id", 403, "host.admin_only"),
        ("size", "vm_id", 422, "size.unknown"),
    ],
)
def test_foreign_ids_in_a_body(
    world: dict[str, Any], client_of: Any, field: str, reference: str, status: int, code: str
) -> None:
    body: dict[str, Any] = {"name": "new", "image": "tiny", "size": "s-1vcpu-512mb"}
    value = str(world[reference])
    body[field] = [value] if field == "ssh_keys" else value
    problem_of(client_of("other").post("/api/v1/vms/", body, format="json"), status, code)


def test_a_read_only_token_is_refused_before_anything_is_read(world: dict[str, Any], client_of: Any) -> None:
    client = client_of("read-only token")
    for body in ("{", '{"name": 7}', ""):
        response = client.post("/api/v1/vms/", body, content_type="application/json")
        problem_of(response, 403, "auth.scope")


@pytest.mark.parametrize("method", ["put", "trace", "options", "head"])
def test_other_methods(world: dict[str, Any], client_of: Any, method: str) -> None:
    for route in sorted({route for route, _method in ROWS}):
        if (route, method) in ROWS:
            continue
        response = client_of("admin").generic(method.upper(), filled(route, world))
        if method == "head" and (route, "get") in ROWS:
            assert response.status_code == client_of("admin").get(filled(route, world)).status_code
        else:
            assert response.status_code == 405, (route, response.status_code)
            same = {route, route.replace("off_id", "vm_id"), route.replace("own_image_id", "image_id")}
            allowed = {known.upper() for name, known in ROWS if name in same}
            assert set(response["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == allowed
