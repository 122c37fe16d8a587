"""Names, references, addresses and free text that somebody sends on purpose: a precise 4xx, and nothing written."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.answers import everything, problem_of
from tests.api.conftest import PUBLIC_KEY

NAMES: dict[str, str] = {
    "empty": "",
    "space": " ",
    "inner space": "web 1",
    "leading space": " web",
    "trailing line break": "web\n",
    "line break": "web\n1",
    "carriage return": "web\r\nX-Header: 1",
    "tab": "web\t1",
    "escape": "web\x1b[31m",
    "delete": "web\x7f",
    "leading dash": "-rf",
    "trailing dash": "web-",
    "upper case": "Web",
    "underscore": "web_1",
    "dot": "web.1",
    "dots": "..",
    "path": "../../etc/passwd",
    "slash": "a/b",
    "backslash": "a\\b",
    "hidden": ".hidden",
    "xml": "x</name><backingStore><path>/etc/shadow</path></backingStore><name>y",
    "entity": "&xxe;",
    "cdata": "<![CDATA[x]]>",
    "html": "<script>alert(1)</script>",
    "template": "{{ 7 * 7 }}",
    "template tag": "{% debug %}",
    "shell": "$(reboot)",
    "backtick": "`id`",
    "semicolon": "a;reboot",
    "pipe": "a|id",
    "quote": "a'b",
    "double quote": 'a"b',
    "sql": "a' OR 1=1--",
    "percent": "a%s%n",
    "comma": "a,b",
    "at": "root@host",
    "umlaut": "wéb",
    "confusable": "wеb",  # noqa: RUF001  # a Cyrillic letter is the point
    "full width": "ｗｅｂ",  # noqa: RUF001
    "arabic digit": "web٣",
    "bidirectional": "web\u202egnp",
    "zero width": "web\u200b1",
    "combining": "we\u0301b",
    "emoji": "\U0001f4a9",
    "byte order mark": "\ufeffweb",
    "line separator": "web\u2028",
    "64 characters": "a" * 64,
    "huge": "a" * 100_000,
    "id": "123e4567-e89b-12d3-a456-426614174000",
    "id without dashes": "123e4567e89b12d3a456426614174000",
    "id in capitals": "123E4567-E89B-12D3-A456-426614174000",
}
UNTOUCHABLE: dict[str, str] = {"NUL": "web\x00", "lone surrogate": "web\ud800"}

Door = Callable[[dict[str, Any], Any], tuple[str, str, dict[str, Any], str]]
NAME_DOORS: dict[str, Door] = {
    "new VM": lambda world, name: (
        "post",
        "vms/",
        {"name": name, "image": "tiny", "size": "s-1vcpu-512mb"},
        "name",
    ),
    "rename": lambda world, name: ("post", f"vms/{world['vm_id']}/rename/", {"name": name}, "name"),
    "new host": lambda world, name: ("post", "hosts/", {"name": name, "uri": "qemu+tls://a.example/system"}, "name"),
    "new key": lambda world, name: ("post", "ssh-keys/", {"name": name, "public_key": PUBLIC_KEY}, "name"),
}


def send(boss: Any, door: tuple[str, str, dict[str, Any], str]) -> Any:
    method, path, body, _field = door
    text = json.dumps(body)
    return getattr(boss, method)(f"/api/v1/{path}", text, content_type="application/json")


@pytest.mark.parametrize("door", NAME_DOORS)
def test_no_bad_name_comes_through(boss: Any, world: dict[str, Any], door: str) -> None:
    """All classes in one test per door: they share a world, and none of them may change it."""
    before = everything()
    for label, name in NAMES.items():
        found = NAME_DOORS[door](world, name)
        response = send(boss, found)
        assert response.status_code == 422, (label, response.status_code, response.content[:200])
        answer = problem_of(response, 422, field=found[3])
        assert len(json.dumps(answer)) < 2000, f"{label}: the answer repeats what was sent"
    for label, name in UNTOUCHABLE.items():
        response = send(boss, NAME_DOORS[door](world, name))
        assert response.status_code == 400, label
        problem_of(response, 400, "request.unparsable")
    assert everything() == before


REFERENCE_DOORS: dict[str, Door] = {
    "image": lambda world, text: (
        "post",
        "vms/",
        {"name": "new", "image": text, "size": "s-1vcpu-512mb"},
        "image",
    ),
    "size": lambda world, text: ("post", "vms/", {"name": "new", "image": "tiny", "size": text}, "size"),
    "host": lambda world, text: (
        "post",
        "vms/",
        {"name": "new", "image": "tiny", "size": "s-1vcpu-512mb", "host": text},
        "host",
    ),
    "ssh_keys": lambda world, text: (
        "post",
        "vms/",
        {"name": "new", "image": "tiny", "size": "s-1vcpu-512mb", "ssh_keys": [text]},
        "ssh_keys",
    ),
}


@pytest.mark.parametrize("door", REFERENCE_DOORS)
def test_no_bad_reference_finds_anything(boss: Any, world: dict[str, Any], door: str) -> None:
    before = everything()
    for label, text in NAMES.items():
        found = REFERENCE_DOORS[door](world, text)
        answer = problem_of(send(boss, found), 422)
        named = [error["field"].split(".")[0] for error in answer["errors"]]
        assert named == [found[3]], (label, answer)
    for label, text in UNTOUCHABLE.items():
        assert send(boss, REFERENCE_DOORS[door](world, text)).status_code == 400, label
    assert everything() == before


URIS = [
    "",
    "qemu:///session",
    "qemu:///system?command=/x",
    "qemu://host/system",
    "test:///default",
    "xen:///",
    "qemu+ext:///system?command=/x",
    "qemu+unix:///system?socket=/x",
    "qemu+libssh://u@h/system",
    "qemu+ssh://host/system",
    "qemu+ssh://u@host/system?no_verify=1",
    "qemu+ssh://u@host/system?command=/x",
    "qemu+ssh://u@host/system#x",
    "qemu+ssh://u@host/session",
    "qemu+ssh://u@host",
    "qemu+ssh://-oProxyCommand=x@host/system",
    "qemu+ssh://u@-oProxyCommand=x/system",
    "qemu+ssh://u@host -oProxyCommand=x/system",
    "qemu+ssh://u:pass@host/system",
    "qemu+ssh://u@host:0/system",
    "qemu+ssh://u@host:65536/system",
    "qemu+ssh://u@host:22x/system",
    "qemu+ssh://u@[::1/system",
    "qemu+ssh://u@::1/system",
    "qemu+ssh://u@[::g]/system",
    "qemu+ssh://u@1.2.3/system",
    "qemu+ssh://u@0x7f000001/system",
    "qemu+ssh://u@999.1.1.1/system",
    "qemu+ssh://u@host\n/system",
    "qemu+ssh://u@ho st/system",
    "qemu+ssh://u@höst/system",
    "qemu+ssh://U@host/system",
    "qemu+ssh://u;id@host/system",
    "qemu+ssh://$(id)@host/system",
    "qemu+tls://u@host/system",
    "qemu+tls://host/system?no_verify=1",
    "qemu+tls://host/system?pkipath=/tmp",
    "QEMU+SSH://u@host/system",
    "qemu+ssh://u@" + "a" * 300 + "/system",
    "qemu+ssh://" + "u" * 33 + "@host/system",
]


def test_a_host_has_three_forms_and_no_other(boss: Any, world: dict[str, Any]) -> None:
    before = everything()
    for uri in URIS:
        body = {"name": "new", "uri": uri}
        response = boss.post("/api/v1/hosts/", body, format="json")
        assert response.status_code == 422, (uri, response.status_code, response.content[:300])
        problem_of(response, 422, field="uri")
    assert everything() == before


FREE_TEXT = [*NAMES.values(), "=cmd|' /C calc'!A0", "-->", "\u202e" * 50]


def test_free_text_is_kept_as_it_is_and_nowhere_else(boss: Any, world: dict[str, Any]) -> None:
    """Notes may say anything; they come back unchanged, as JSON."""
    for text in FREE_TEXT:
        response = boss.patch(f"/api/v1/vms/{world['vm_id']}/", {"notes": text}, format="json")
        if len(text) > 10000:
            problem_of(response, 422, field="notes")
            continue
        assert response.status_code == 200, text
        assert response.json()["notes"] == text.strip()
        assert response["Content-Type"] == "application/json"
        assert response["X-Content-Type-Options"] == "nosniff"


TAGS = ["", " ", "a,b", "a\nb", "a\tb", "\x1b", "\u202ea", "\u200b", "x" * 64, "a\u2028b"]


def test_tags_are_short_and_printable(boss: Any, world: dict[str, Any]) -> None:
    before = everything()
    for tag in TAGS:
        response = boss.patch(f"/api/v1/vms/{world['vm_id']}/", {"tags": [tag]}, format="json")
        assert response.status_code == 422, repr(tag)
    assert everything() == before
