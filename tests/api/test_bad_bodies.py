"""Numbers, bodies, media types and path ids that are none: a precise 4xx in constant size, and nothing written."""

import json
from typing import Any

import pytest

from tests.api.answers import everything, problem_of

WRONG_NUMBERS: dict[str, str] = {
    "zero": "0",
    "negative": "-1",
    "huge": "9223372036854775808",
    "beyond 32 bits": "2147483648",
    "very huge": "1" + "0" * 400,
    "too many digits": "1" * 5000,
    "fraction": "1.5",
    "whole fraction": "1.0",
    "exponent": "1e3",
    "infinite by exponent": "1e400",
    "text": '"1"',
    "empty text": '""',
    "true": "true",
    "null": "null",
    "list": "[1]",
    "object": '{"a":1}',
    "NaN": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "hexadecimal": "0x10",
    "leading zero": "01",
    "plus": "+1",
    "arabic": "٣",
}
VM_NUMBERS = {"vcpus": "1", "memory_mib": "256", "disk_gib": "2"}


@pytest.mark.parametrize("field", VM_NUMBERS)
def test_numbers_of_a_vm(boss: Any, world: dict[str, Any], field: str) -> None:
    before = everything()
    for label, number in WRONG_NUMBERS.items():
        numbers = {**VM_NUMBERS, field: number}
        text = ", ".join(f'"{name}": {value}' for name, value in numbers.items())
        body = f'{{"name": "new", "image": "tiny", {text}}}'
        response = boss.post("/api/v1/vms/", body, content_type="application/json")
        assert response.status_code in (400, 422), (label, response.status_code, response.content[:200])
        answer = problem_of(response, response.status_code)
        if answer["code"] not in ("request.unparsable",):
            assert field in [error["field"] for error in answer["errors"]], (label, answer)
    assert everything() == before


@pytest.mark.parametrize("field", ["vcpu_ratio", "memory_ratio", "disk_ratio"])
def test_ratios_of_a_host(boss: Any, world: dict[str, Any], field: str) -> None:
    before = everything()
    fine = {"fraction", "whole fraction"}
    for label, number in {**WRONG_NUMBERS, "too small": "0.05", "too large": "64.1"}.items():
        if label in fine:
            continue
        body = f'{{"{field}": {number}}}'
        url = f"/api/v1/hosts/{world['host_id']}/"
        response = boss.patch(url, body, content_type="application/json")
        assert response.status_code in (400, 422), (label, response.status_code, response.content[:200])
        problem_of(response, response.status_code)
    assert everything() == before


BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "request.malformed"),
    "space": (b" ", "request.unparsable"),
    "no JSON": (b"name=web", "request.unparsable"),
    "half": (b'{"name": "web"', "request.unparsable"),
    "two": (b'{"name": "web"} {"name": "web"}', "request.unparsable"),
    "trailing comma": (b'{"name": "web",}', "request.unparsable"),
    "comment": (b'{"name": "web" /* x */}', "request.unparsable"),
    "single quotes": (b"{'name': 'web'}", "request.unparsable"),
    "list": (b"[]", "request.malformed"),
    "list of objects": (b'[{"name": "web"}]', "request.malformed"),
    "text": (b'"web"', "request.malformed"),
    "number": (b"7", "request.malformed"),
    "true": (b"true", "request.malformed"),
    "null": (b"null", "request.malformed"),
    "empty object": (b"{}", "request.malformed"),
    "duplicate key": (b'{"name": "web", "name": "other"}', "request.unparsable"),
    "duplicate key, escaped": (b'{"name": "web", "n\\u0061me": "other"}', "request.unparsable"),
    "the last of many keys twice": (
        b"{" + b", ".join(b'"%d": 1' % n for n in range(50_000)) + b', "49999": 1}',
        "request.unparsable",
    ),
    "deep list": (b"[" * 5000 + b"]" * 5000, "request.unparsable"),
    "deeper list": (b"[" * 200_000 + b"]" * 200_000, "request.unparsable"),
    "deep object": (b'{"a":' * 500 + b"1" + b"}" * 500, "request.unparsable"),
    "deep in a field": (b'{"name": ' + b"[" * 30 + b"]" * 30 + b"}", "request.unparsable"),
    "invalid UTF-8": (b'{"name": "\xff\xfe"}', "request.unparsable"),
    "overlong UTF-8": (b'{"name": "\xc0\xaf"}', "request.unparsable"),
    "UTF-16": ('{"name": "web"}'.encode("utf-16"), "request.unparsable"),
    "byte order mark": (b'\xef\xbb\xbf{"name": "web"}', "request.unparsable"),
    "NUL": (b'{"name": "web\\u0000"}', "request.unparsable"),
    "raw NUL": (b'{"name": "web\x00"}', "request.unparsable"),
    "control character": (b'{"name": "web\x01"}', "request.unparsable"),
    "lone surrogate": (b'{"name": "\\ud800"}', "request.unparsable"),
    "lone surrogate key": (b'{"\\udfff": 1}', "request.unparsable"),
    "NaN": (b'{"vcpus": NaN}', "request.unparsable"),
    "unknown field": (b'{"name": "web", "colour": "red"}', "request.malformed"),
    "prototype": (b'{"__proto__": {"admin": true}}', "request.malformed"),
    "empty key": (b'{"": 1}', "request.malformed"),
    "many keys": (json.dumps({f"k{n}": n for n in range(20_000)}).encode(), "request.malformed"),
}
BODY_DOORS = ["vms/", "vms/{vm_id}/rename/", "hosts/", "hosts/{host_id}/trust/", "ssh-keys/", "token/", "me/password/"]


@pytest.mark.parametrize("door", BODY_DOORS)
def test_no_bad_body_comes_through(boss: Any, world: dict[str, Any], door: str, settings: Any) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": {"token": "1000/min"}}
    before = everything()
    for label, (body, code) in BODIES.items():
        response = boss.post(f"/api/v1/{door.format(**world)}", body, content_type="application/json")
        assert response.status_code == 400, (label, response.status_code, response.content[:300])
        problem_of(response, 400, code)
        assert len(response.content) < 30_000, label
    assert everything() == before


def test_a_bodys_answer_does_not_grow_with_it(boss: Any, world: dict[str, Any]) -> None:
    body = json.dumps({"name": "web", "x" * 500_000: 1})
    response = boss.post("/api/v1/vms/", body, content_type="application/json")
    assert problem_of(response, 400)
    assert len(response.content) < 5000


def test_too_large_a_body(boss: Any, world: dict[str, Any], settings: Any) -> None:
    before = everything()
    body = json.dumps({"name": "x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE})
    for door in BODY_DOORS:
        response = boss.post(f"/api/v1/{door.format(**world)}", body, content_type="application/json")
        problem_of(response, 413, "request.too_large")
    assert everything() == before


MEDIA_TYPES = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "text/plain",
    "text/html",
    "application/xml",
    "application/yaml",
    "application/merge-patch+json",
    "application/json-seq",
    "x",
    "/",
    "application/",
    "application/json, text/html",
]


def test_only_json_is_read(boss: Any, world: dict[str, Any]) -> None:
    before = everything()
    body = b'{"name": "new", "image": "tiny", "size": "s-1vcpu-512mb"}'
    for media_type in MEDIA_TYPES:
        response = boss.post("/api/v1/vms/", body, content_type=media_type)
        problem_of(response, 415, "request.media_type")
    assert everything() == before
    for media_type in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON"):
        answer = boss.post("/api/v1/vms/?dry_run=true", body, content_type=media_type)
        assert answer.status_code == 200, media_type


PATH_IDS = [
    "1",
    "web-1",
    "null",
    "../vms",
    "%2e%2e",
    "%00",
    "%F0%9F%92%A9",
    "123e4567e89b12d3a456426614174000",
    "123E4567-E89B-12D3-A456-426614174000",
    "123e4567-e89b-12d3-a456-42661417400",
    "{123e4567-e89b-12d3-a456-426614174000}",
    "' OR 1=1--",
]


@pytest.mark.parametrize("collection", ["vms", "hosts", "operations", "images", "placements", "ssh-keys"])
def test_paths_take_ids(boss: Any, world: dict[str, Any], collection: str) -> None:
    for text in PATH_IDS:
        response = boss.get(f"/api/v1/{collection}/{text}/")
        problem_of(response, 404, "request.not_found")


@pytest.mark.parametrize(
    "path", ["vms/{vm_id}", "hosts/{host_id}", "images/{own_image_id}", "ssh-keys/{key_id}", "networks/{network_id}"]
)
def test_a_delete_takes_no_body(boss: Any, world: dict[str, Any], path: str) -> None:
    before = everything()
    for body in (b'{"force": true}', b"[]", b"null", b"7"):
        response = boss.delete(f"/api/v1/{path.format(**world)}/", body, content_type="application/json")
        problem_of(response, 400, "request.malformed")
    assert everything() == before
