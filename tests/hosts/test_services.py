"""Hosts on the side of people: add, trust, open and close, remove; and who may."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.errors import Conflict, Forbidden, NotFound, Refused
from apps.events.models import Event
from apps.hosts import services
from apps.hosts.capacity import Demand, capacity_claim
from apps.hosts.models import Allocation, Host, HostStatus, Installation
from apps.hosts.passwords import password_take
from apps.operations.claims import operation_claim, operation_end
from apps.operations.models import Operation, Status
from tests.parallel import in_parallel

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
DEMAND = Demand(vcpus=1, memory_mib=100, disk_gib=1)


def end_all() -> None:
    for operation in Operation.objects.filter(status=Status.QUEUED):
        claim = operation_claim(operation.pk)
        assert claim is not None
        operation_end(claim, status=Status.SUCCEEDED)


class TestInstallation:
    @pytest.mark.django_db(transaction=True)
    def test_many_first_starts_at_once_make_one(self) -> None:
        answers = in_parallel(lambda _number: services.installation_ensure(), range(12))
        assert len(set(answers)) == 1
        assert Installation.objects.count() == 1
        assert len(answers[0]) == 8


class TestProbeAgain:
    """A first probe that failed is not the last word: a machine that was busy with its set-up answers later."""

    @pytest.fixture
    def silent(self, installation: str) -> Host:
        host = services.host_local_ensure(hostname="attic")
        for operation in Operation.objects.filter(status=Status.QUEUED):
            claim = operation_claim(operation.pk)
            assert claim is not None
            operation_end(claim, status=Status.FAILED, code="operation.deadline", message="Given up after waiting")
        return host

    def later(self) -> None:
        Host.objects.update(status_since=Now() - timedelta(hours=1))

    def test_after_a_while_and_once(self, silent: Host) -> None:
        assert services.hosts_probe_again() == 0
        self.later()
        assert services.hosts_probe_again() == 1
        assert services.hosts_probe_again() == 0
        assert Operation.objects.filter(kind="host.probe", target_id=silent.pk).count() == 2

    def test_at_the_next_start(self, silent: Host) -> None:
        services.host_local_ensure(hostname="attic")
        services.host_local_ensure(hostname="attic")
        assert Operation.objects.filter(kind="host.probe", status=Status.QUEUED).count() == 1

    @pytest.mark.parametrize(
        "change",
        [{"accelerator": "tcg"}, {"enabled": False}, {"status": HostStatus.PENDING_TRUST}],
        ids=["probed", "closed", "not trusted"],
    )
    def test_not_one_that_is(self, silent: Host, change: dict[str, Any]) -> None:
        self.later()
        Host.objects.update(**change)
        assert services.hosts_probe_again() == 0


class TestCreate:
    def test_an_ssh_host_is_asked_for_its_key_first(self, admin: Any, installation: str) -> None:
        host, operation = services.host_create(actor=admin, name="h1", uri="qemu+ssh://root@h1.example:2222/system")
        assert (host.transport, host.address, host.port, host.user) == ("ssh", "h1.example", 2222, "root")
        assert (host.status, operation.kind, operation.host_id) == ("pending_trust", "host.identify", host.pk)

    def test_a_tls_host_is_probed(self, admin: Any, installation: str) -> None:
        _host, operation = services.host_create(actor=admin, name="h1", uri="qemu+tls://h1/system")
        assert operation.kind == "host.probe"

    @pytest.mark.parametrize("actor", ["member", "viewer"])
    def test_only_by_admins(self, actor: str, request: pytest.FixtureRequest) -> None:
        with pytest.raises(Forbidden):
            services.host_create(actor=request.getfixturevalue(actor), name="h1", uri="qemu+tls://h1/system")

    @pytest.mark.parametrize(
        ("name", "uri", "field"),
        [
            ("h1", "qemu+tls://other/system", "name"),
            ("h2", "qemu+tls://h1.example/system", "uri"),
            ("Not a name", "qemu+tls://x/system", "name"),
            ("h2", "qemu+tls://x/system?command=/x", "uri"),
        ],
    )
    def test_not_twice_and_not_by_a_wrong_name(self, admin: Any, host: Host, name: str, uri: str, field: str) -> None:
        with pytest.raises(Refused) as error:
            services.host_create(actor=admin, name=name, uri=uri)
        assert [wrong.field for wrong in error.value.errors] == [field]
        assert Host.objects.count() == 1


class TestTrust:
    @pytest.fixture
    def pending(self, admin: Any, make_host: Any) -> Host:
        return make_host(transport="ssh", user="root", status="pending_trust", offered_key=KEY)

    def test_the_right_fingerprint_pins_the_key_and_probes(self, admin: Any, pending: Host) -> None:
        fingerprint = services.fingerprint_of(KEY)
        host, operation = services.host_trust(actor=admin, host_id=pending.pk, fingerprint=f" {fingerprint}\n")
        assert (host.host_key, host.offered_key, operation.kind) == (KEY, "", "host.probe")
        assert Event.objects.filter(kind="host.trusted", actor_id=admin.pk).exists()

    def test_a_password_reaches_the_probe_once_and_no_record(self, admin: Any, pending: Host) -> None:
        fingerprint = services.fingerprint_of(KEY)
        _host, operation = services.host_trust(
            actor=admin, host_id=pending.pk, fingerprint=fingerprint, password=" a secret "
        )
        assert "secret" not in str(operation.__dict__)
        assert password_take(operation_id=operation.pk) == " a secret "
        assert password_take(operation_id=operation.pk) is None

    def test_another_one_changes_nothing(self, admin: Any, pending: Host) -> None:
        with pytest.raises(Refused) as error:
            services.host_trust(actor=admin, host_id=pending.pk, fingerprint="SHA256:other")
        assert error.value.code == "host.fingerprint"
        pending.refresh_from_db()
        assert (pending.host_key, pending.status) == ("", "pending_trust")

    def test_not_before_a_key_was_seen(self, admin: Any, make_host: Any) -> None:
        host = make_host(transport="ssh", user="root", status="pending_trust")
        with pytest.raises(Conflict) as error:
            services.host_trust(actor=admin, host_id=host.pk, fingerprint="SHA256:x")
        assert error.value.code == "host.no_key_yet"


class TestUpdate:
    def test_ratios_change_the_limits_and_keep_what_is_claimed(self, admin: Any, host: Host) -> None:
        capacity_claim(host_id=host.pk, consumer_id=uuid.uuid4(), label="vm", demand=DEMAND)
        services.host_update(actor=admin, host_id=host.pk, memory_ratio=2.0, vcpu_ratio=1.0)
        host.refresh_from_db()
        assert (host.vcpus_limit, host.memory_limit_mib) == (8, 2 * (16384 - 1638))
        assert host.memory_claimed_mib == 164

    @pytest.mark.parametrize("value", [0, -1, 0.05, 65, float("nan"), float("inf")])
    def test_a_ratio_has_bounds(self, admin: Any, host: Host, value: float) -> None:
        with pytest.raises(Refused):
            services.host_update(actor=admin, host_id=host.pk, memory_ratio=value)

    def test_closing_is_an_event_once(self, admin: Any, host: Host) -> None:
        for _ in range(2):
            services.host_update(actor=admin, host_id=host.pk, enabled=False)
        assert Event.objects.filter(kind="host.closed").count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_change_beside_claims_loses_none(self, admin: Any, make_host: Any) -> None:
        from django.db import transaction

        host = make_host()

        def act(number: int) -> None:
            if number % 4 == 0:
                with transaction.atomic():
                    services.host_update(actor=admin, host_id=host.pk, vcpu_ratio=8.0 + number)
            else:
                capacity_claim(host_id=host.pk, consumer_id=uuid.uuid4(), label="vm", demand=DEMAND)

        answers = in_parallel(act, range(24))
        assert [answer for answer in answers if isinstance(answer, Exception)] == []
        host.refresh_from_db()
        assert host.vcpus_claimed == host.allocations.count() == 18


class TestDelete:
    def test_with_machines_is_refused_with_the_list(self, admin: Any, host: Host) -> None:
        for name in ("web-1", "web-2"):
            capacity_claim(host_id=host.pk, consumer_id=uuid.uuid4(), label=name, demand=DEMAND)
        with pytest.raises(Conflict) as error:
            services.host_delete(actor=admin, host_id=host.pk)
        assert error.value.code == "host.has_vms"
        assert error.value.extra["vms"] == ["web-1", "web-2"]

    def test_while_it_is_being_probed_is_refused(self, admin: Any, host: Host) -> None:
        _host, operation = services.host_probe(actor=admin, host_id=host.pk)
        with pytest.raises(Conflict) as error:
            services.host_delete(actor=admin, host_id=host.pk)
        assert error.value.extra["operation"] == str(operation.pk)

    def test_takes_foreign_guests_from_the_list_only(self, admin: Any, host: Host) -> None:
        Allocation.objects.create(
            host=host, consumer_id=uuid.uuid4(), label="theirs", kind="foreign", vcpus=1, memory_mib=1, disk_gib=0
        )
        services.host_delete(actor=admin, host_id=host.pk)
        assert not Host.objects.exists()
        assert Event.objects.filter(kind="host.removed").exists()

    def test_not_by_a_member_who_cannot_even_see_it(self, member: Any, host: Host) -> None:
        with pytest.raises((Forbidden, NotFound)):
            services.host_delete(actor=member, host_id=host.pk)
        assert Host.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_beside_claims_either_it_goes_or_they_stay(self, admin: Any, make_host: Any) -> None:
        """Whoever comes second finds the other: no claim without a host, no host that lost its claims."""
        host = make_host()

        def act(number: int) -> Any:
            if number == 0:
                return services.host_delete(actor=admin, host_id=host.pk)
            return capacity_claim(host_id=host.pk, consumer_id=uuid.uuid4(), label="vm", demand=DEMAND)

        deleted, *claims = in_parallel(act, range(8))
        if isinstance(deleted, Conflict):
            host.refresh_from_db()
            assert claims.count(True) == host.allocations.count() == host.vcpus_claimed == 7
        else:
            assert isinstance(deleted, Host)
            assert claims.count(True) == Allocation.objects.count() == 0


class TestStatus:
    def test_a_change_is_told_once(self, host: Host) -> None:
        changed = [
            services.host_status_set(host_id=host.pk, status=HostStatus.UNREACHABLE, reason=f"no route {number}")
            for number in range(3)
        ]
        assert changed == [True, False, False]
        host.refresh_from_db()
        assert host.reason == "no route 2"
        assert Event.objects.filter(kind="host.unreachable").count() == 1
