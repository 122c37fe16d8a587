"""The pages of snapshots: the tree, the plans, and what a browser makes of them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from playwright.sync_api import Page, expect

from apps.compute.models import VM, Snapshot
from apps.compute.selectors.snapshot import snapshot_tree
from apps.operations.models import Operation
from tests.dashboard.looks import looks_right

Open = Callable[..., Page]


@pytest.fixture
def make_snapshot() -> Callable[..., Snapshot]:
    def make(vm: VM, name: str, **values: Any) -> Snapshot:
        sizes = {"vcpus": vm.vcpus, "memory_mib": vm.memory_mib, "disk_gib": vm.disk_gib}
        most = {"max_vcpus": vm.vcpus, "max_memory_mib": vm.memory_mib}
        chosen = {"host_name": name, "phase": "ready", "memory": True, "power": "running", **sizes, **most}
        return Snapshot.objects.create(vm=vm, name=name, **{**chosen, **values})

    return make


@pytest.fixture
def tree(admin: Any, make_vm: Callable[..., Any], make_snapshot: Callable[..., Snapshot]) -> VM:
    """A VM with a fork, one that failed, and one of somebody else."""
    vm: VM = make_vm(admin, "web-1")
    root = make_snapshot(vm, "fresh-install", memory=False, power="shutoff")
    before = make_snapshot(vm, "before-the-upgrade", parent=root, vcpus=2, memory_mib=2048, max_memory_mib=2048)
    make_snapshot(vm, "tried-postgresql-17", parent=before)
    make_snapshot(vm, "x" * 63, parent=before, current=True)
    make_snapshot(vm, "Somebody's own, made with virsh <b>", parent=before, foreign=True, disk_gib=None)
    make_snapshot(vm, "second-root", phase="error", reason="No space left on device")
    return vm


@pytest.mark.django_db
class TestTree:
    def test_a_chain_goes_down_and_a_fork_goes_in(self, tree: VM) -> None:
        drawn = [(branch.snapshot.name[:6], branch.depth) for branch in snapshot_tree(list(tree.snapshots.all()))]
        assert drawn == [("fresh-", 0), ("before", 0), ("tried-", 1), ("xxxxxx", 1), ("Somebo", 1), ("second", 0)]

    def test_a_parent_that_is_not_there_is_none(self, tree: VM) -> None:
        alone = [Snapshot.objects.get(name="tried-postgresql-17")]
        (branch,) = snapshot_tree(alone)
        assert (branch.depth, branch.parent) == (0, None)


@pytest.mark.django_db
class TestPages:
    def test_more_snapshots_take_no_more_queries(
        self, client: Any, admin: Any, tree: VM, make_snapshot: Callable[..., Snapshot]
    ) -> None:
        from django.db import connection

        client.force_login(admin)
        for path in ("/snapshots/", f"/vms/{tree.pk}/snapshots/"):
            client.get(path)
            with CaptureQueriesContext(connection) as before:
                assert client.get(path).status_code == 200
            for number in range(5):
                make_snapshot(tree, f"more-{path.count('/')}-{number}")
            with CaptureQueriesContext(connection) as after:
                client.get(path)
            assert len(after) == len(before) <= 15

    def test_a_foreign_name_is_text(self, client: Any, admin: Any, tree: VM) -> None:
        client.force_login(admin)
        text = client.get(f"/vms/{tree.pk}/snapshots/").content.decode()
        assert "virsh &lt;b&gt;" in text
        assert "virsh <b>" not in text

    def test_the_plan_of_a_revert_says_before_and_after(self, client: Any, admin: Any, tree: VM) -> None:
        client.force_login(admin)
        snapshot = Snapshot.objects.get(name="before-the-upgrade")
        text = client.get(f"/snapshots/{snapshot.pk}/revert/").content.decode()
        assert "Number of vCPUs 1 -&gt; 2" in text
        assert "emory 64 MiB -&gt; 2048 MiB" in text
        assert not Operation.objects.exists()

    def test_a_refusal_is_said_before_the_button(self, client: Any, admin: Any, tree: VM, settings: Any) -> None:
        settings.SNAPSHOTS_PER_VM = 6
        client.force_login(admin)
        answer = client.get(f"/vms/{tree.pk}/snapshots/new/")
        assert "6 is the most" in answer.content.decode()
        sent = client.post(f"/vms/{tree.pk}/snapshots/new/", {"name": "seventh"})
        assert sent.status_code == 422
        assert tree.snapshots.count() == 6

    def test_filters(self, client: Any, admin: Any, tree: VM) -> None:
        client.force_login(admin)

        def shown(query: str) -> list[str]:
            return [snapshot.name[:6] for snapshot in client.get(f"/snapshots/?{query}").context["page"].rows]

        assert shown("q=upgrade") == ["before"]
        assert shown("status=error") == ["second"]
        assert shown("status=foreign") == ["Somebo"]
        assert len(shown("q=web")) == 6
        assert b"No snapshot matches" in client.get("/snapshots/?q=nothing").content


@pytest.mark.django_db(transaction=True)
class TestBrowser:
    def test_take_and_delete(self, open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
        vm = make_vm(admin, "web-1")
        page = open_as(admin, f"/vms/{vm.pk}/")
        page.get_by_role("link", name="Snapshots", exact=True).last.click()
        page.get_by_role("link", name="Take snapshot").click()
        expect(page.get_by_text("stands still meanwhile")).to_be_visible()
        page.get_by_label("Name").fill("Not a name")
        page.get_by_role("button", name="Take snapshot").click()
        expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
        page.get_by_label("Name").fill("before")
        page.get_by_label("Name").press("Enter")
        expect(page.locator(".toast")).to_contain_text("The snapshot before is being taken")
        expect(page.locator("#vm progress")).to_be_visible()
        Snapshot.objects.update(phase="ready", current=True)
        Operation.objects.update(status="succeeded")
        page.get_by_label("Delete before").click()
        expect(page.get_by_text("stays as it is: 1 vCPU")).to_be_visible()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("Deleting", exact=True)).to_be_visible()
        assert set(Operation.objects.values_list("kind", flat=True)) == {"snapshot.create", "snapshot.delete"}

    def test_nothing_is_wrong_to_look_at(self, open_as: Open, admin: Any, tree: VM) -> None:
        snapshot = Snapshot.objects.get(name="before-the-upgrade")
        page = open_as(admin, "/snapshots/")
        for name, path in {
            "list": "/snapshots/",
            "tree": f"/vms/{tree.pk}/snapshots/",
            "create": f"/vms/{tree.pk}/snapshots/new/",
            "revert": f"/snapshots/{snapshot.pk}/revert/",
            "delete": f"/snapshots/{snapshot.pk}/delete/",
        }.items():
            page.goto(path)
            looks_right(page, f"snapshot-{name}")
