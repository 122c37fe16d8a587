"""``Idempotency-Key``: the same key and body give the same answer, whoever asks how often."""

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.answers import problem_of, rows

URL = "/api/v1/vms/"


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


def post(client: Any, body: Any, key: str = "key-1", url: str = URL) -> Any:
    return client.post(url, body, format="json", HTTP_IDEMPOTENCY_KEY=key)


def test_the_same_request_gets_the_same_answer(client: Any, new_vm: dict[str, Any]) -> None:
    first, before = post(client, new_vm), rows()
    second = post(client, new_vm)
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert second["Location"] == first["Location"]
    assert second["Content-Type"] == first["Content-Type"]
    assert rows() == before


def test_the_order_of_members_does_not_matter(client: Any, new_vm: dict[str, Any]) -> None:
    first = post(client, new_vm)
    assert post(client, dict(reversed(new_vm.items()))).json() == first.json()


def test_it_is_the_answer_of_then(client: Any, new_vm: dict[str, Any]) -> None:
    from apps.compute.models import VM

    first = post(client, new_vm)
    VM.objects.update(phase="ready", power="running")
    assert post(client, new_vm).json() == first.json()
    VM.objects.all().delete()
    assert post(client, new_vm).json() == first.json()


def test_another_body_or_path_is_refused(client: Any, new_vm: dict[str, Any], member: Any, make_vm: Any) -> None:
    vm = make_vm(member, "old")
    post(client, new_vm)
    before = rows()
    problem_of(post(client, {**new_vm, "name": "other"}), 422, "idempotency.mismatch")
    problem_of(post(client, {}, url=f"{URL}{vm.pk}/start/"), 422, "idempotency.mismatch")
    answer = client.delete(f"{URL}{vm.pk}/", HTTP_IDEMPOTENCY_KEY="key-1")
    problem_of(answer, 422, "idempotency.mismatch")
    assert rows() == before


def test_numbers_and_texts_are_other_bodies(client: Any, new_vm: dict[str, Any]) -> None:
    post(client, {**new_vm, "start_on_boot": True})
    problem_of(post(client, {**new_vm, "start_on_boot": 1}), 422, "idempotency.mismatch")


def test_a_key_belongs_to_one_person(client: Any, new_vm: dict[str, Any], api_for: Any, other: Any) -> None:
    mine, theirs = post(client, new_vm), post(api_for(other), new_vm)
    assert theirs.status_code == 202
    assert theirs.json()["vm"]["id"] != mine.json()["vm"]["id"]


def test_errors_are_not_kept(client: Any, new_vm: dict[str, Any], member: Any, make_vm: Any) -> None:
    from apps.envelope.models import IdempotencyKey

    taken = make_vm(member, "web-1")
    problem_of(post(client, new_vm), 422, "vm.name_taken")
    problem_of(post(client, {"name": 7}), 400)
    assert not IdempotencyKey.objects.exists()
    taken.delete()
    assert post(client, new_vm).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x7fb", "a\tb"])
def test_what_is_no_key(client: Any, new_vm: dict[str, Any], key: str) -> None:
    before = rows()
    problem_of(post(client, new_vm, key), 422, "idempotency.key", field="Idempotency-Key")
    assert rows() == before


def test_answers_without_a_body_too(client: Any, member: Any, make_key: Any) -> None:
    key = make_key(member)
    for _ in range(2):
        answer = client.delete(f"/api/v1/ssh-keys/{key.pk}/", HTTP_IDEMPOTENCY_KEY="k")
        assert (answer.status_code, answer.content) == (204, b"")


def test_a_viewer_gets_no_answer_from_a_kept_key(client: Any, new_vm: dict[str, Any], member: Any) -> None:
    post(client, new_vm)
    member.role = "viewer"
    problem_of(post(client, new_vm), 403, "auth.role")


def test_reading_needs_no_key(client: Any) -> None:
    from apps.envelope.models import IdempotencyKey

    assert client.get(URL, HTTP_IDEMPOTENCY_KEY="k").status_code == 200
    assert not IdempotencyKey.objects.exists()


def test_no_secret_is_kept(api_for: Any, admin: Any) -> None:
    """The setup of a TLS host holds its private key: shown once, stored nowhere."""
    from apps.envelope.models import IdempotencyKey

    client, url = api_for(admin), "/api/v1/hosts/"
    body = {"name": "attic", "uri": "qemu+tls://attic.example/system"}
    first = post(client, body, url=url)
    assert "PRIVATE KEY" in json.dumps(first.json()["host"]["setup"])
    second = post(client, body, url=url)
    assert second.status_code == 202
    assert second.json() == {**first.json(), "host": {**first.json()["host"], "setup": None}}
    assert "PRIVATE KEY" not in json.dumps(list(IdempotencyKey.objects.values_list("body", flat=True)))


def test_old_keys_are_forgotten(client: Any, new_vm: dict[str, Any], member: Any, make_key: Any) -> None:
    from django.utils import timezone

    from apps.envelope.models import IdempotencyKey
    from apps.envelope.services import KEPT_FOR, keys_forget
    from cloudsite.celery import app
    from workers.tasks import envelope_forget_keys

    post(client, new_vm, "old")
    IdempotencyKey.objects.update(created_at=timezone.now() - KEPT_FOR)
    post(client, {**new_vm, "name": "web-2"}, "new")
    assert keys_forget() == 1
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["new"]
    problem_of(post(client, new_vm, "old"), 422, "vm.name_taken")
    assert envelope_forget_keys.name in [entry["task"] for entry in app.conf.beat_schedule.values()]


def test_the_fingerprint_of_a_body_cannot_be_guessed(client: Any, new_vm: dict[str, Any], settings: Any) -> None:
    from apps.envelope.models import IdempotencyKey

    post(client, new_vm)
    settings.SECRET_KEY = "another" * 8
    problem_of(post(client, new_vm), 422, "idempotency.mismatch")
    assert len(IdempotencyKey.objects.get().fingerprint) == 64


def in_thread(work: Any) -> Any:
    from django.db import connections

    try:
        return work()
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_50_at_once_make_one_vm(api_for: Any, member: Any, new_vm: dict[str, Any]) -> None:
    from apps.compute.models import VM
    from apps.operations.models import Operation

    key, start = str(uuid.uuid4()), threading.Barrier(50)

    def work() -> Any:
        client = api_for(member)
        start.wait(timeout=60)
        return post(client, new_vm, key)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: in_thread(work), range(50)))

    assert {answer.status_code for answer in answers} <= {202, 409}
    accepted = [answer.json() for answer in answers if answer.status_code == 202]
    assert accepted and all(answer == accepted[0] for answer in accepted)
    for answer in answers:
        if answer.status_code == 409:
            problem_of(answer, 409, "idempotency.in_flight")
    assert (VM.objects.count(), Operation.objects.count()) == (1, 1)
    assert post(api_for(member), new_vm, key).json() == accepted[0]


@pytest.mark.django_db(transaction=True)
def test_50_at_once_without_a_key_make_one_vm_of_a_name(api_for: Any, member: Any, new_vm: dict[str, Any]) -> None:
    """The control: without a key everybody but the first is refused, nobody gets a 500."""
    from apps.compute.models import VM

    start = threading.Barrier(20)

    def work() -> Any:
        client = api_for(member)
        start.wait(timeout=60)
        return client.post(URL, new_vm, format="json")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: in_thread(work), range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] + [422] * 19
    assert VM.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_first_one_is_still_running(
    api_for: Any, member: Any, new_vm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.compute.services import vm as services

    entered, leave = threading.Event(), threading.Event()
    create = services.vm_create

    def slow(**values: Any) -> Any:
        entered.set()
        assert leave.wait(60)
        return create(**values)

    monkeypatch.setattr(services, "vm_create", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: in_thread(lambda: post(api_for(member), new_vm)))
        assert entered.wait(60)
        problem_of(post(api_for(member), new_vm), 409, "idempotency.in_flight")
        leave.set()
        assert first.result(60).status_code == 202
    assert post(api_for(member), new_vm).json() == first.result().json()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["rename/", "start/", ""])
def test_parallel_conflicting_changes(api_for: Any, member: Any, make_vm: Any, host: Any, verb: str) -> None:
    """Two VMs renamed to one name, one VM started or deleted many times: one wins, the rest is told so."""
    vms = [make_vm(member, f"web-{number}", host=host) for number in range(8)]
    start = threading.Barrier(8)

    def work(number: int) -> int:
        client = api_for(member)
        vm = vms[number] if verb == "rename/" else vms[0]
        start.wait(timeout=60)
        if not verb:
            return int(client.delete(f"{URL}{vm.pk}/").status_code)
        body = {"name": "shop"} if verb == "rename/" else {}
        return int(client.post(f"{URL}{vm.pk}/{verb}", body, format="json").status_code)

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(lambda number: in_thread(lambda: work(number)), range(8)))
    assert answers == ([200] + [422] * 7 if verb == "rename/" else [202] + [409] * 7)


@pytest.mark.django_db(transaction=True)
def test_one_host_added_by_many_at_once(api_for: Any, admin: Any, installation: str) -> None:
    """Each under another name, without a port: the address alone must be enough."""
    from apps.hosts.models import Host

    start = threading.Barrier(8)

    def work(number: int) -> int:
        client = api_for(admin)
        start.wait(timeout=60)
        body = {"name": f"attic-{number}", "uri": "qemu+ssh://cloud@attic.example/system"}
        return int(client.post("/api/v1/hosts/", body, format="json").status_code)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: in_thread(lambda: work(number)), range(8)))
    assert Host.objects.count() == 1
    assert sorted(answers)[0] == 202
    assert set(answers) <= {202, 409, 422}
