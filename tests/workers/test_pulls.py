"""When each host is read: its own interval, spread turns, and dead hosts that cost the others nothing."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import override_settings

from apps.hosts.models import Host
from workers import pulls
from workers.observations import now
from workers.pulls import hosts_due, pull_begin, pulls_take_turns
from workers.reconcile import reconcile_host


def turns() -> set[str]:
    return set(Host.objects.filter(pk__in=pulls_take_turns()).values_list("name", flat=True))


@override_settings(TIME_SCALE=1.0)
def test_each_has_its_turn_once_and_again_after_its_own_interval(make_host: Any) -> None:
    for number in range(8):
        make_host(f"h{number}", pull_interval_s=10 if number < 4 else 100)
    assert (len(turns()), turns()) == (8, set())
    later = {host.pull_at - now() for host in Host.objects.filter(pull_interval_s=100)}
    assert all(timedelta(seconds=85) < wait <= timedelta(seconds=111) for wait in later)
    assert len(later) == 4 and max(later) - min(later) > timedelta(seconds=0.5)  # spread
    Host.objects.update(pull_at=Now() - timedelta(seconds=1))
    assert len(turns()) == 8


def test_no_more_than_so_many_at_once_and_who_waits_longest_first(
    make_host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "MOST_AT_ONCE", 2)
    for number in range(4):
        make_host(f"h{number}", pull_at=now() - timedelta(seconds=number))
    make_host("new")
    assert turns() == {"new", "h3"}
    Host.objects.filter(name="new").update(reconcile_until=Now() + timedelta(seconds=60))
    assert [turns(), turns(), turns()] == [{"h2"}, {"h1"}, {"h0"}]


def test_hosts_that_do_not_answer_take_turns_among_themselves(make_host: Any) -> None:
    lost = [make_host(f"lost-{number}", status="unreachable") for number in range(4)]
    assert [pull_begin(host.pk) for host in lost] == [True, True, False, False]
    assert pull_begin(make_host("fine").pk)
    Host.objects.filter(pk=lost[0].pk).update(reconcile_until=None)
    assert pull_begin(lost[3].pk)


def test_who_is_not_proven_or_trusted_or_is_being_read_has_no_turn(make_host: Any) -> None:
    make_host("not-probed", accelerator="")
    make_host("untrusted", status="pending_trust")
    make_host("being-read", reconcile_until=now() + timedelta(seconds=60))
    assert not hosts_due()


def test_reading_leaves_the_next_turn_alone(workshop: Any) -> None:
    assert turns() == {workshop.host.name}
    at = Host.objects.get().pull_at
    assert reconcile_host(workshop.host.pk)
    assert Host.objects.get().pull_at == at
