"""A worker places what was accepted together, and holds to the rule that the requests could not see yet."""

from typing import Any

from apps.hosts.models import Allocation
from apps.operations.services import operation_retry
from apps.placement.groups import group_create


def test_of_two_accepted_at_once_the_second_is_told_and_has_its_place_when_the_first_is_gone(workshop: Any) -> None:
    group = group_create(actor=workshop.admin, name="db", rule="anti-affinity")
    (first, creating), (second, waiting) = (workshop.create(name, group="db") for name in ("db-1", "db-2"))
    assert workshop.carry_out(creating).status == "succeeded"
    failed = workshop.carry_out(waiting)
    assert (failed.status, failed.error_code) == ("failed", "placement.no_host_fits")
    assert "already runs db-1 of group db (anti-affinity)" in failed.error_message
    assert [held.consumer_id for held in Allocation.objects.filter(group_id=group.pk)] == [first.pk]
    workshop.carry_out(workshop.ask("delete", first, permanent=True))
    operation_retry(actor=workshop.admin, operation_id=failed.pk)
    assert workshop.carry_out(failed).status == "succeeded", failed.error_message
    second.refresh_from_db()
    assert (workshop.power(second), second.group) == ("running", group)
    assert [held.consumer_id for held in Allocation.objects.filter(group_id=group.pk)] == [second.pk]
