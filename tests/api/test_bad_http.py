"""HTTP itself: methods, names, credentials and media types."""

from typing import Any

import pytest

from tests.api.answers import everything, problem_of


@pytest.mark.parametrize("header", ["HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_METHOD_OVERRIDE"])
def test_a_method_cannot_be_replaced(boss: Any, world: dict[str, Any], header: str) -> None:
    before = everything()
    path = f"/api/v1/vms/{world['vm_id']}/"
    assert boss.get(path, **{header: "DELETE"}).status_code == 200
    problem_of(boss.post(path, {"_method": "DELETE"}, format="json", **{header: "DELETE"}), 405, "request.method")
    assert boss.get(f"{path}?_method=DELETE").status_code == 200
    assert everything() == before


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8420", "localhost.evil.example", "localhost@evil", ""])
def test_an_unknown_name_in_the_host_header(boss: Any, settings: Any, name: str) -> None:
    settings.KNOWN_HOSTS = []
    problem_of(boss.get("/api/v1/me/", HTTP_HOST=name), 400, "request.host")
    for header in ("HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED"):
        assert boss.get("/api/v1/me/", HTTP_HOST="127.0.0.1:8420", **{header: "evil.example"}).status_code == 200


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1:8420", "[::1]:8420", "192.168.1.9"])
def test_links_name_the_address_that_was_asked(boss: Any, world: dict[str, Any], name: str) -> None:
    response = boss.get("/api/v1/vms/?limit=1", HTTP_HOST=name, HTTP_X_FORWARDED_HOST="evil.example")
    assert response.json()["next"].startswith(f"http://{name}/api/v1/vms/?")


def test_a_session_needs_a_csrf_token(admin: Any, world: dict[str, Any]) -> None:
    from rest_framework.test import APIClient

    client = APIClient(enforce_csrf_checks=True)
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    before = everything()
    path = f"/api/v1/vms/{world['vm_id']}/"
    assert client.get(path).status_code == 200
    for media_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        answer = client.post(f"{path}start/", "{}", content_type=media_type, HTTP_HOST="127.0.0.1")
        problem_of(answer, 403, "auth.forbidden")
    problem_of(client.delete(path, HTTP_HOST="127.0.0.1"), 403, "auth.forbidden")
    assert everything() == before


def test_a_missing_last_slash_is_no_redirect(boss: Any, world: dict[str, Any]) -> None:
    for method in ("get", "post", "delete"):
        found = problem_of(getattr(boss, method)("/api/v1/vms"), 404, "request.not_found")
        assert "slash" in found["detail"]


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/png", "x", "application/problem+json"])
def test_only_json_is_written(boss: Any, accept: str) -> None:
    problem_of(boss.get("/api/v1/me/", HTTP_ACCEPT=accept), 406, "request.not_acceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,*/*;q=0.8", "application/*"])
def test_what_browsers_and_scripts_accept(boss: Any, accept: str) -> None:
    assert boss.get("/api/v1/me/", HTTP_ACCEPT=accept)["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer a b", "Bearer \xff", "Bearer " + "x" * 10_000, "Basic YTpi"]
)
def test_strange_credentials(authorization: str, world: dict[str, Any]) -> None:
    from rest_framework.test import APIClient

    response = APIClient().get("/api/v1/vms/", HTTP_AUTHORIZATION=authorization)
    problem_of(response, 401)
    assert response["WWW-Authenticate"].startswith("Bearer")
