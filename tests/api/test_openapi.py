"""The OpenAPI document and the page that shows it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    from drf_spectacular.generators import SchemaGenerator

    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, found in document["paths"].items()
        for method, operation in found.items()
        if method in METHODS
    ]


def test_it_is_checked_in(document: dict[str, Any]) -> None:
    """``make generate`` writes it; ``make check`` compares it to the letter."""
    kept = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
    assert kept["openapi"].startswith("3.1")
    assert set(kept["paths"]) == set(document["paths"])
    assert set(kept["components"]["schemas"]) == set(document["components"]["schemas"])


def test_everything_has_a_summary_and_a_name_of_its_own(document: dict[str, Any]) -> None:
    found = operations(document)
    for path, method, operation in found:
        assert operation.get("summary"), (method, path)
        assert len(operation["summary"]) < 100, operation["summary"]
    names = [operation["operationId"] for _path, _method, operation in found]
    assert len(names) == len(set(names))


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        responses = operation["responses"]
        assert any(status.startswith("2") for status in responses), (method, path)
        for status, response in responses.items():
            if status >= "400":
                assert response == {"$ref": f"#/components/responses/Problem{status}"}, (method, path, status)
        if "{" in path:
            assert "404" in responses, (method, path)
        if "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= set(responses), (method, path)
    for response in document["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]


# A password is no answer to keep; a piece of a file says itself where it belongs, so a second one is refused.
WITHOUT_KEY = {"/api/v1/me/password/", "/api/v1/images/{image_id}/file/"}
# Answers and changes nothing.
QUESTIONS = {"/api/v1/placements/explain/", "/api/v1/placements/what-if/"}
# Where there is one operation for each of several, and what they are called in the answer.
SEVERAL = {"/api/v1/images/prune/": "operations", "/api/v1/vms/bulk/": "results"}


def test_every_change_takes_a_dry_run_and_most_a_key(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        if method == "get" or path.startswith("/api/v1/token/") or path in QUESTIONS:
            assert not names & {"dry_run", "Idempotency-Key"}, (method, path)
        else:
            assert "dry_run" in names, (method, path)
            assert "Idempotency-Key" in names or path in WITHOUT_KEY, (method, path)


def test_what_a_202_looks_like(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        accepted = operation["responses"].get("202")
        if accepted and not path.endswith("/retry/"):
            name = accepted["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
            key = SEVERAL.get(path, "operation")
            assert key in document["components"]["schemas"][name]["required"], (method, path)
            assert accepted["headers"]["Location"]["required"] is True


def test_bodies_take_nothing_unknown(document: dict[str, Any]) -> None:
    bodies = {name: schema for name, schema in document["components"]["schemas"].items() if name.endswith("Request")}
    assert bodies
    for name, schema in bodies.items():
        assert schema["additionalProperties"] is False, name
        assert "DRF" not in schema.get("description", ""), name


def test_the_served_document_is_the_same(api_for: Any, document: dict[str, Any]) -> None:
    response = api_for(None).get("/api/v1/schema/")
    assert response.status_code == 200
    assert set(yaml.safe_load(response.content)["paths"]) == set(document["paths"])


def test_the_page_needs_nothing_from_elsewhere(api_for: Any) -> None:
    page = api_for(None).get("/api/v1/docs/", HTTP_ACCEPT="text/html")
    assert page.status_code == 200
    html = page.content.decode()
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", html)
    assert len(addresses) >= 4
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses), addresses
    assert "https://" not in html and "http://" not in html
    assert re.findall(r"<script(?![^>]*src=)", html) == [], "the content security policy forbids inline scripts"
    script = next(address for address in addresses if "script=" in address)
    code = api_for(None).get(script)
    assert code.status_code == 200
    assert code["Content-Type"].startswith("application/javascript")
    assert "https://" not in code.content.decode()


@pytest.mark.parametrize("path", ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"])
def test_its_files_come_with_us(path: str) -> None:
    from django.contrib.staticfiles import finders

    assert finders.find(f"drf_spectacular_sidecar/swagger-ui-dist/{path}")
