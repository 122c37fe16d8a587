"""SSH keys over the API and in the pages: whose they are, what is refused, what is written."""

import uuid
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import SSHKey, User
from apps.accounts.selectors import ssh_keys_wanted
from apps.errors import Refused
from apps.events.models import Event
from tests.accounts.test_public_keys import ED25519

pytestmark = pytest.mark.django_db
PATH = "/api/v1/ssh-keys/"
BODY = {"name": "laptop", "public_key": f"{ED25519} ada@engine\n"}


@pytest.fixture
def mine(member: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(member)
    return client


@pytest.fixture
def theirs(other: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(other)
    return client


def test_add_list_read_delete(mine: APIClient, member: User) -> None:
    made = mine.post(PATH, BODY, format="json")
    assert made.status_code == 201
    key = made.json()
    assert set(key) == {"id", "name", "public_key", "fingerprint", "created_at"}
    assert key["public_key"] == f"{ED25519} ada@engine"
    assert made["Location"] == f"{PATH}{key['id']}/"
    assert mine.get(PATH).json()["results"] == [key]
    assert mine.get(made["Location"]).json() == key
    assert mine.delete(made["Location"]).status_code == 204
    assert mine.get(PATH).json()["results"] == []
    kinds = list(Event.objects.filter(actor_id=member.pk).order_by("id").values_list("kind", "owner_id"))
    assert kinds == [("ssh_key.created", member.pk), ("ssh_key.deleted", member.pk)]


def test_another_persons_key_does_not_exist(mine: APIClient, theirs: APIClient) -> None:
    location = mine.post(PATH, BODY, format="json")["Location"]
    foreign = theirs.get(location)
    missing = theirs.get(f"{PATH}{uuid.uuid4()}/")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content
    assert theirs.delete(location).status_code == 404
    assert theirs.get(PATH).json()["results"] == []
    assert theirs.post(PATH, BODY, format="json").status_code == 201, "the same key and name, but theirs"


@pytest.mark.parametrize(
    ("body", "status", "field", "code"),
    [
        ({}, 400, "name", "required"),
        ({**BODY, "name": None}, 400, "name", "null"),
        ({**BODY, "name": 7}, 400, "name", "wrong_type"),
        ({**BODY, "name": ["a"]}, 400, "name", "wrong_type"),
        ({**BODY, "owner": "x"}, 400, "owner", "unknown_field"),
        ({**BODY, "id": "x"}, 400, "id", "unknown_field"),
        ({**BODY, "name": ""}, 422, "name", "blank"),
        ({**BODY, "name": "Laptop"}, 422, "name", "name.invalid"),
        ({**BODY, "name": "-a"}, 422, "name", "name.invalid"),
        ({**BODY, "name": "a" * 64}, 422, "name", "name.invalid"),
        ({**BODY, "name": "a\n"}, 422, "name", "name.invalid"),
        ({**BODY, "name": " a"}, 422, "name", "name.invalid"),
        ({**BODY, "name": "../etc"}, 422, "name", "name.invalid"),
        ({**BODY, "name": "<b>"}, 422, "name", "name.invalid"),
        ({**BODY, "name": "\u0430dmin"}, 422, "name", "name.invalid"),
        ({**BODY, "name": "6f1c0a52-6c3e-4b62-9a54-000000000000"}, 422, "name", "name.like_id"),
        ({**BODY, "name": "6f1c0a526c3e4b629a54000000000000"}, 422, "name", "name.like_id"),
        ({**BODY, "public_key": ""}, 422, "public_key", "public_key.empty"),
        ({**BODY, "public_key": "nonsense"}, 422, "public_key", "public_key.unknown"),
    ],
    ids=str,
)
def test_what_is_refused(mine: APIClient, body: Any, status: int, field: str, code: str) -> None:
    answer = mine.post(PATH, body, format="json")
    assert answer.status_code == status
    assert {"field": field, "code": code}.items() <= answer.json()["errors"][0].items()
    assert not SSHKey.objects.exists()


def test_the_same_name_and_the_same_key(mine: APIClient) -> None:
    mine.post(PATH, BODY, format="json")
    again = mine.post(PATH, BODY, format="json")
    assert (again.status_code, again.json()["code"]) == (422, "ssh_key.name_taken")
    renamed = mine.post(PATH, {**BODY, "name": "other"}, format="json")
    assert (renamed.status_code, renamed.json()["code"]) == (422, "ssh_key.exists")


def test_a_person_has_a_bounded_number_of_keys(mine: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.accounts.services.MAX_SSH_KEYS", 1)
    mine.post(PATH, BODY, format="json")
    answer = mine.post(PATH, {**BODY, "name": "b"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "ssh_key.too_many")


def test_dry_run_writes_nothing(mine: APIClient) -> None:
    answer = mine.post(f"{PATH}?dry_run=true", BODY, format="json")
    assert answer.status_code == 200
    assert answer.json()["plan"]["changes"]
    assert not SSHKey.objects.exists()
    assert not Event.objects.exists()


def test_an_idempotency_key_gives_the_same_answer(mine: APIClient) -> None:
    header = {"HTTP_IDEMPOTENCY_KEY": "k1"}
    first = mine.post(PATH, BODY, format="json", **header)
    again = mine.post(PATH, BODY, format="json", **header)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert SSHKey.objects.count() == 1
    assert mine.post(PATH, {**BODY, "name": "b"}, format="json", **header).status_code == 422


def test_references_by_name_and_id_are_the_persons_own(mine: APIClient, member: User, other: User) -> None:
    identifier = mine.post(PATH, BODY, format="json").json()["id"]
    by_both = ssh_keys_wanted(actor=member, references=["laptop", identifier, identifier.upper()])
    assert [str(key.pk) for key in by_both] == [identifier]
    for reference in ("laptop", identifier, "none", "", str(uuid.uuid4())):
        with pytest.raises(Refused):
            ssh_keys_wanted(actor=other, references=[reference])


def test_pages(member: User, other: User, viewer: User) -> None:
    browser = Client(HTTP_HOST="localhost")
    browser.force_login(member)
    assert browser.post("/ssh-keys/new/", BODY).status_code == 302
    key = SSHKey.objects.get()
    assert key.fingerprint in browser.get("/ssh-keys/").content.decode()
    refused = browser.post("/ssh-keys/new/", {"name": "x", "public_key": "<script>alert(1)</script>"})
    assert refused.status_code == 422
    assert b"<script>alert(1)" not in refused.content
    for stranger, status in ((other, 404), (viewer, 403)):
        client = Client(HTTP_HOST="localhost")
        client.force_login(stranger)
        assert key.fingerprint not in client.get("/ssh-keys/").content.decode()
        assert client.post(f"/ssh-keys/{key.pk}/delete/").status_code == status
    assert browser.get(f"/ssh-keys/{key.pk}/delete/").status_code == 405
    assert browser.post(f"/ssh-keys/{key.pk}/delete/").status_code == 302
    assert not SSHKey.objects.exists()


def test_the_list_costs_the_same_for_one_and_for_many(
    mine: APIClient, member: User, django_assert_num_queries: Any
) -> None:
    SSHKey.objects.bulk_create(
        SSHKey(owner=member, name=f"k{number}", public_key=ED25519, fingerprint=f"f{number}") for number in range(60)
    )
    with django_assert_num_queries(1):
        answer = mine.get(f"{PATH}?limit=50&ordering=name")
    assert len(answer.json()["results"]) == 50
    assert answer.json()["next"]
    assert mine.get(f"{PATH}?owner=x").status_code in (400, 422)
