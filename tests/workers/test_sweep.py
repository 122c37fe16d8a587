"""The sweep rings what is due and nobody works on, and nothing else."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.operations.claims import operation_claim
from apps.operations.models import Operation
from tests.operations.conftest import Thing
from workers import sweep


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    rung: list[uuid.UUID] = []
    monkeypatch.setattr(sweep, "ring", lambda operation_id, seconds=0: rung.append(operation_id) or True)
    return rung


def make() -> Operation:
    from apps.operations.services import operation_create

    return operation_create(kind="thing.do", target_type="thing", target=Thing(), actor=None)


def test_rings_the_unclaimed_and_those_whose_worker_died(db: None, rung: list[uuid.UUID]) -> None:
    queued, running, dead, later = (make() for _ in range(4))
    for operation in (running, dead):
        assert operation_claim(operation.pk) is not None
    second = timedelta(seconds=1)
    Operation.objects.filter(pk=dead.pk).update(lease_until=Now() - second)
    Operation.objects.filter(pk=later.pk).update(run_after=Now() + 60 * second)
    assert sweep.sweep() == 2
    assert set(rung) == {queued.pk, dead.pk}


def test_is_bounded(db: None, rung: list[uuid.UUID], django_assert_num_queries: Any) -> None:
    moment = Now()
    template = make()
    values = {field.attname: getattr(template, field.attname) for field in Operation._meta.fields}
    Operation.objects.bulk_create(
        Operation(**{**values, "id": uuid.uuid4(), "target_id": uuid.uuid4(), "run_after": moment}) for _ in range(300)
    )
    with django_assert_num_queries(1):
        assert sweep.sweep() == 200
