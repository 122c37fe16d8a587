"""Data volumes in the API: what is answered and written, and who may touch what."""

from typing import Any

import pytest

from apps.compute.models import VolumeAttachment
from apps.hosts.models import Host
from apps.operations.models import Operation
from apps.storage.models import Volume
from tests.api.answers import problem_of, rows
from tests.parallel import in_parallel

URL = "/api/v1/volumes/"


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def vm(member: Any, make_vm: Any, host: Any) -> Any:
    return make_vm(member, "web-1", host=host)


@pytest.fixture
def volume(member: Any, make_volume: Any, host: Any) -> Any:
    return make_volume(member, "data", host=host)


class TestCreate:
    def test_is_accepted_with_its_operation(self, client: Any, host: Any) -> None:
        response = client.post(URL, {"name": "data", "size_gib": 3}, format="json")
        assert response.status_code == 202, response.content
        found = response.json()
        assert set(found) == {"volume", "operation"}
        shown = found["volume"]
        assert (shown["name"], shown["status"], shown["size_gib"], shown["vm"]) == ("data", "creating", 3, None)
        assert shown["device"] == f"/dev/disk/by-id/virtio-{shown['id'][:20]}"
        assert found["operation"]["kind"] == "volume.create"
        assert response["Location"] == f"/api/v1/operations/{found['operation']['id']}/"
        assert client.get(f"{URL}{shown['id']}/").json() == shown

    @pytest.mark.parametrize(
        ("body", "status", "code", "field"),
        [
            ({"name": "data"}, 400, None, "size_gib"),
            ({"name": "data", "size_gib": "3"}, 400, None, "size_gib"),
            ({"name": "data", "size_gib": True}, 400, None, "size_gib"),
            ({"name": "data", "size_gib": 3, "vcpus": 1}, 400, None, "vcpus"),
            ({"name": "data", "size_gib": 0}, 422, "volume.out_of_range", "size_gib"),
            ({"name": "data", "size_gib": -1}, 422, "volume.out_of_range", "size_gib"),
            ({"name": "data", "size_gib": 10**12}, 422, "volume.out_of_range", "size_gib"),
            ({"name": "../etc", "size_gib": 3}, 422, None, "name"),
            ({"name": "Data", "size_gib": 3}, 422, None, "name"),
            ({"name": "data", "size_gib": 3, "iops": -1}, 422, "volume.out_of_range", "iops"),
            ({"name": "data", "size_gib": 3, "host": "h1"}, 403, "host.admin_only", None),
            ({"name": "data", "size_gib": 3, "vm": "nothing"}, 422, "vm.unknown", "vm"),
            ({"name": "data", "size_gib": 3, "vm": "web-1", "host": "h1"}, 422, "volume.host_and_vm", "host"),
            ({"name": "data", "size_gib": 40000}, 422, "placement.no_host_fits", None),
        ],
        ids=str,
    )
    def test_nonsense_is_told_by_field(
        self, client: Any, host: Any, vm: Any, body: dict[str, Any], status: int, code: str | None, field: str | None
    ) -> None:
        before = rows()
        problem_of(client.post(URL, body, format="json"), status, code, field)
        assert rows() == before

    def test_names_are_ones_own(self, client: Any, api_for: Any, other: Any, volume: Any, host: Any) -> None:
        body = {"name": "data", "size_gib": 1}
        problem_of(client.post(URL, body, format="json"), 422, "volume.name_taken", "name")
        assert api_for(other).post(URL, body, format="json").status_code == 202

    def test_on_the_host_of_a_machine(self, client: Any, vm: Any, make_host: Any) -> None:
        make_host("h2", disk_gib=5000)
        answer = client.post(URL, {"name": "data", "size_gib": 1, "vm": "web-1"}, format="json").json()
        operation = Operation.objects.get(pk=answer["operation"]["id"])
        assert operation.params == {"host": str(vm.host_id)}

    def test_the_host_with_most_free_disk_is_planned(self, boss: Any, host: Any, make_host: Any) -> None:
        make_host("roomy", disk_gib=5000)
        plan = boss.post(f"{URL}?dry_run=true", {"name": "data", "size_gib": 1}, format="json").json()["plan"]
        assert plan["host"] == "roomy"


class TestAttach:
    def test_takes_it_at_once(self, client: Any, volume: Any, vm: Any) -> None:
        response = client.post(f"{URL}{volume.pk}/attach/", {"vm": "web-1"}, format="json")
        assert response.status_code == 202, response.content
        found = response.json()
        assert found["volume"]["status"] == "attaching"
        assert found["volume"]["vm"] == {"id": str(vm.pk), "name": "web-1"}
        assert found["volume"]["target"] == "vdc"
        assert found["operation"]["target"]["id"] == str(vm.pk)
        assert client.get(f"{URL}?vm=web-1").json()["results"] == [found["volume"]]
        again = client.post(f"{URL}{volume.pk}/attach/", {"vm": str(vm.pk)}, format="json")
        problem_of(again, 409, "volume.attached")

    def test_a_foreign_machine_is_unknown(
        self, client: Any, boss: Any, volume: Any, vm: Any, other: Any, make_vm: Any, host: Any
    ) -> None:
        foreign = make_vm(other, "theirs", host=host)
        for who in (client, boss):
            for reference in (str(foreign.pk), "theirs", "none"):
                response = who.post(f"{URL}{volume.pk}/attach/", {"vm": reference}, format="json")
                problem_of(response, 422, "vm.unknown", "vm")
        assert not VolumeAttachment.objects.exists()

    def test_another_host_names_both(self, client: Any, volume: Any, member: Any, make_vm: Any, make_host: Any) -> None:
        make_vm(member, "far", host=make_host("h2"))
        found = problem_of(
            client.post(f"{URL}{volume.pk}/attach/", {"vm": "far"}, format="json"), 422, "volume.other_host", "vm"
        )
        assert "h1" in found["detail"] and "h2" in found["detail"]

    @pytest.mark.parametrize(
        ("values", "code"),
        [
            ({"phase": "creating"}, "vm.not_ready"),
            ({"phase": "error"}, "vm.not_ready"),
            ({"phase": "deleting"}, "vm.not_ready"),
            ({"missing": True}, "vm.missing"),
        ],
    )
    def test_a_machine_that_is_not_ready_is_a_conflict(
        self, client: Any, volume: Any, member: Any, make_vm: Any, host: Any, values: dict[str, Any], code: str
    ) -> None:
        make_vm(member, "odd", host=host, **values)
        problem_of(client.post(f"{URL}{volume.pk}/attach/", {"vm": "odd"}, format="json"), 409, code)

    def test_a_busy_machine_or_volume_names_what_is_in_the_way(self, client: Any, volume: Any, vm: Any) -> None:
        client.post(f"/api/v1/vms/{vm.pk}/start/")
        busy = problem_of(client.post(f"{URL}{volume.pk}/attach/", {"vm": "web-1"}, format="json"), 409)
        assert busy["operation"] == str(Operation.objects.get(kind="vm.start").pk)
        Operation.objects.all().delete()
        client.post(f"{URL}{volume.pk}/resize/", {"size_gib": 9}, format="json")
        busy = problem_of(client.post(f"{URL}{volume.pk}/attach/", {"vm": "web-1"}, format="json"), 409)
        assert busy["operation"] == str(Operation.objects.get(kind="volume.resize").pk)
        assert not VolumeAttachment.objects.exists()

    def test_devices_without_virtio_are_changed_with_the_machine_off(
        self, client: Any, volume: Any, member: Any, make_vm: Any, host: Any
    ) -> None:
        old = make_vm(member, "old", host=host, devices="compatible")
        path = f"{URL}{volume.pk}/attach/"
        problem_of(client.post(path, {"vm": "old"}, format="json"), 409, "volume.needs_stop")
        type(old).objects.update(power="shutoff")
        assert client.post(path, {"vm": "old"}, format="json").json()["volume"]["target"] == "sdc"

    def test_a_machine_with_snapshots_keeps_its_disks(
        self, client: Any, member: Any, volume: Any, vm: Any, host: Any, make_volume: Any, make_snapshot: Any
    ) -> None:
        """A revert brings the old definition back: it would take a disk away, or give one that is elsewhere."""
        held = make_volume(member, "disk", host=host, vm=vm)
        make_snapshot(vm)
        for path, body in (
            (f"{volume.pk}/attach/", {"vm": "web-1"}),
            (f"{held.pk}/detach/", {}),
            (f"{held.pk}/resize/", {"size_gib": 9}),
        ):
            problem_of(client.post(URL + path, body, format="json"), 409, "volume.snapshots")

    def test_nine_are_too_many(self, client: Any, member: Any, vm: Any, host: Any, make_volume: Any) -> None:
        for letter in "cdefghij":
            held = make_volume(member, f"data-{letter}", host=host)
            VolumeAttachment.objects.create(volume=held, vm=vm, target=f"vd{letter}", state="attached")
        ninth = make_volume(member, "ninth", host=host)
        problem_of(client.post(f"{URL}{ninth.pk}/attach/", {"vm": "web-1"}, format="json"), 409, "volume.too_many")

    def test_detach_of_a_free_one_is_a_conflict(self, client: Any, volume: Any) -> None:
        problem_of(client.post(f"{URL}{volume.pk}/detach/"), 409, "volume.not_attached")


@pytest.mark.django_db(transaction=True)
def test_of_two_attaches_at_once_one_wins(api_for: Any, member: Any, make_vm: Any, make_volume: Any, host: Any) -> None:
    vms = [make_vm(member, f"web-{number}", host=host) for number in range(4)]
    volume = make_volume(member, "data", host=host)

    def attach(number: int) -> int:
        body = {"vm": str(vms[number].pk)}
        return int(api_for(member).post(f"{URL}{volume.pk}/attach/", body, format="json").status_code)

    assert sorted(in_parallel(attach, range(4))) == [202, 409, 409, 409]
    assert VolumeAttachment.objects.count() == Operation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_constraint_alone_lets_one_win(member: Any, make_vm: Any, make_volume: Any, host: Any) -> None:
    """Without the row's lock: what is left is the database."""
    from apps.compute.services.volume_attachment import attachment_create
    from apps.errors import Conflict

    vms = [make_vm(member, f"web-{number}", host=host) for number in range(4)]
    volume = make_volume(member, "data", host=host)

    def take(number: int) -> bool:
        try:
            attachment_create(volume=volume, vm=vms[number])
        except Conflict:
            return False
        return True

    assert sorted(in_parallel(take, range(4))) == [False, False, False, True]


@pytest.mark.django_db(transaction=True)
def test_parallel_growth_does_not_overcommit(member: Any, make_volume: Any, make_host: Any) -> None:
    from apps.hosts.capacity import capacity_resize, disk_demand

    host = make_host("small", disk_gib=20)  # 40 GiB may be claimed
    volumes = [make_volume(member, f"data-{number}", host=host, size_gib=5) for number in range(6)]
    grown = in_parallel(lambda volume: capacity_resize(consumer_id=volume.pk, demand=disk_demand(9)), volumes)
    host.refresh_from_db()
    assert sorted(grown) == [False, False, False, False, True, True]
    assert host.disk_claimed_gib == sum(host.allocations.values_list("disk_gib", flat=True)) == 38


class TestChange:
    def test_rename_touches_no_host(self, client: Any, volume: Any) -> None:
        response = client.patch(f"{URL}{volume.pk}/", {"name": "shop", "iops": 5}, format="json")
        assert (response.status_code, response.json()["name"], response.json()["iops"]) == (200, "shop", 5)
        assert not Operation.objects.exists()

    def test_limits_of_an_attached_one_are_an_operation(
        self, client: Any, member: Any, vm: Any, host: Any, make_volume: Any
    ) -> None:
        held = make_volume(member, "disk", host=host, vm=vm)
        response = client.patch(f"{URL}{held.pk}/", {"bandwidth_mib_s": 20}, format="json")
        assert response.status_code == 202, response.content
        assert response.json()["operation"]["kind"] == "volume.limit"
        assert client.patch(f"{URL}{held.pk}/", {"name": "other"}, format="json").status_code == 200

    def test_it_only_grows(self, client: Any, volume: Any) -> None:
        for size in (5, 4, 1):
            response = client.post(f"{URL}{volume.pk}/resize/", {"size_gib": size}, format="json")
            problem_of(response, 422, "volume.only_grows", "size_gib")
        response = client.post(f"{URL}{volume.pk}/resize/", {"size_gib": 60000}, format="json")
        problem_of(response, 422, "placement.no_host_fits", "size_gib")

    @pytest.mark.usefixtures("without_trash")
    def test_an_attached_one_is_not_deleted(
        self, client: Any, member: Any, vm: Any, host: Any, make_volume: Any
    ) -> None:
        held = make_volume(member, "disk", host=host, vm=vm)
        found = problem_of(client.delete(f"{URL}{held.pk}/"), 409, "volume.attached")
        assert "web-1" in found["detail"]
        plan = client.delete(f"/api/v1/vms/{vm.pk}/?dry_run=true").json()["plan"]
        assert "detach the volume disk and keep it" in plan["changes"]

    def test_a_host_with_a_volume_is_not_forgotten(self, boss: Any, volume: Any, host: Any) -> None:
        problem_of(boss.delete(f"/api/v1/hosts/{host.pk}/"), 409, "host.has_vms")

    @pytest.mark.parametrize("body", [{}, {"iops": None}, {"iops": 1.5}, {"iops": -1}, {"read_iops": 1}], ids=str)
    def test_nonsense_limits_of_a_root_disk(self, client: Any, member: Any, make_vm: Any, host: Any, body: Any) -> None:
        root = Volume.objects.create(host=host, size_gib=2)
        vm = make_vm(member, "web-2", host=host, root_volume=root)
        response = client.post(f"/api/v1/vms/{vm.pk}/io-limits/", body, format="json")
        assert response.status_code in (400, 422)
        root.refresh_from_db()
        assert (root.iops, root.bandwidth_mib_s) == (0, 0)

    def test_limits_of_a_root_disk_are_kept(self, client: Any, member: Any, make_vm: Any, host: Any) -> None:
        root = Volume.objects.create(host=host, size_gib=2)
        vm = make_vm(member, "web-2", host=host, root_volume=root)
        path = f"/api/v1/vms/{vm.pk}/io-limits/"
        assert client.post(path, {"iops": 300}, format="json").status_code == 202
        assert client.get(path).json() == {"iops": 300, "bandwidth_mib_s": 0}


class TestLists:
    def test_root_disks_are_no_volumes(self, boss: Any, volume: Any, host: Any) -> None:
        root = Volume.objects.create(host=host, size_gib=2)
        assert [item["name"] for item in boss.get(URL).json()["results"]] == ["data"]
        problem_of(boss.get(f"{URL}{root.pk}/"), 404, "volume.not_found")

    def test_status_is_filtered(self, client: Any, member: Any, vm: Any, host: Any, make_volume: Any) -> None:
        make_volume(member, "free", host=host)
        make_volume(member, "disk", host=host, vm=vm)
        make_volume(member, "broken", host=host, phase="error")
        for status, name in (("available", "free"), ("attached", "disk"), ("error", "broken")):
            assert [item["name"] for item in client.get(f"{URL}?status={status}").json()["results"]] == [name]
        assert client.get(f"{URL}?search=RE").json()["results"][0]["name"] == "free"
        problem_of(client.get(f"{URL}?owner=1"), 422, "request.unknown_filter")

    def test_takes_the_same_number_of_queries_for_many(
        self, client: Any, member: Any, make_vm: Any, host: Any, make_volume: Any, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(12):
            make_volume(member, f"data-{number}", host=host, vm=make_vm(member, f"vm-{number}", host=host))
        with django_assert_max_num_queries(3):
            assert len(client.get(URL).json()["results"]) == 12


def test_claims_of_hosts_count_volumes(host: Any, volume: Any) -> None:
    assert Host.objects.get(pk=host.pk).disk_claimed_gib == 5
