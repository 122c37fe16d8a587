"""Images from every door to the end, on a fake host and with the real qemu-img; a vendor stands on loopback."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.imagefile.hostile import LEAKING, qcow2
from tests.waiting import wait_for
from workers.image_import import checksum_in


def begun(admin: Any, **wish: Any) -> Any:
    from apps.storage.images import image_create

    return image_create(actor=admin, **wish)


def carried_out(workshop: Any, operation: Any) -> Any:
    """Claims until it has ended; the job that checks the file runs beside us."""

    def ended() -> bool:
        return workshop.claim_once(operation).status not in ("queued", "running")

    wait_for(ended, seconds=60, what="the end of the operation", every=0.2)
    return operation


def uploaded(workshop: Any, content: bytes, **wish: Any) -> Any:
    """The operation that checks an upload."""
    from apps.storage.images import incoming_ensure
    from apps.storage.selectors import incoming_dir
    from apps.storage.uploads import upload_end

    image = begun(workshop.admin, **{"name": "own", **wish}).image
    incoming_ensure(image)
    (incoming_dir(image.pk) / "source").write_bytes(content)
    return upload_end(actor=workshop.admin, image_id=image.pk).operation


def nothing_left(state: Path) -> bool:
    incoming = state / "images" / "incoming"
    return not incoming.exists() or list(incoming.iterdir()) == []


@pytest.fixture(autouse=True)
def callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a commit is done at once: the test's own transaction never commits."""
    from django.db import transaction

    monkeypatch.setattr(transaction, "on_commit", lambda act, *_a, **_k: act())


def test_an_upload_becomes_an_image_that_a_vm_starts_from(workshop: Any, own_state_dir: Path) -> None:
    from apps.storage.models import Image

    operation = carried_out(workshop, uploaded(workshop, qcow2(), cloud_init=False))
    assert operation.status == "succeeded", operation.error_message
    image = Image.objects.get(name="own")
    file = own_state_dir / "images" / f"{image.pk}.qcow2"
    assert (image.status, image.format, image.size_bytes) == ("ready", "qcow2", file.stat().st_size)
    assert image.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert nothing_left(own_state_dir)
    workshop.image = image
    assert workshop.running("from-own").power == "running"


def test_a_refused_one_says_why_and_leaves_nothing(workshop: Any, own_state_dir: Path, tmp_path: Path) -> None:
    from apps.storage.models import Image

    operation = uploaded(workshop, qcow2(), checksum="sha256:" + "0" * 64)
    assert carried_out(workshop, operation).error_code == "image.checksum"
    image = Image.objects.get(name="own")
    assert (image.status, bool(image.reason)) == ("error", True)
    assert nothing_left(own_state_dir)


@pytest.mark.parametrize("name", LEAKING)
def test_a_hostile_upload_is_refused_at_the_door(workshop: Any, name: str, tmp_path: Path) -> None:
    from apps.errors import Refused

    (tmp_path / "canary").write_bytes(bytes(4096))
    LEAKING[name](tmp_path / "hostile", tmp_path / "canary")
    for form in ("qcow2", "raw"):
        with pytest.raises(Refused):
            uploaded(workshop, (tmp_path / "hostile").read_bytes(), format=form, name=f"own-{form}")


def test_an_image_whose_file_was_lost_says_so_and_is_used_where_it_is(workshop: Any) -> None:
    """As after a restore on another machine: a backup holds no images."""
    from apps.operations.services import operation_retry
    from apps.storage.selectors import image_path

    file = image_path(workshop.image)
    content = file.read_bytes()
    file.unlink()
    _vm, operation = workshop.create()
    failed = workshop.carry_out(operation)
    assert (failed.status, failed.error_code) == ("failed", "image.not_sent")
    assert "tiny is not on this machine" in failed.error_message
    file.write_bytes(content)
    operation_retry(actor=workshop.admin, operation_id=operation.pk)
    assert workshop.carry_out(operation).status == "succeeded"
    file.unlink()
    assert workshop.running("web-2")


class TestImport:
    def wish(self, vendor: Any, content: bytes, **more: Any) -> dict[str, Any]:
        vendor.files["/debian.qcow2"] = content
        checksum = {"checksum": f"sha256:{hashlib.sha256(content).hexdigest()}"}
        return {"name": "own", "url": vendor.url("/debian.qcow2"), **checksum, **more}

    def test_it_is_fetched_compared_and_entered(self, workshop: Any, vendor: Any, own_state_dir: Path) -> None:
        from apps.storage.models import Image

        content = qcow2()
        wish = self.wish(vendor, content, checksum="", checksum_url=vendor.url("/SHA512SUMS"))
        other = "0" * 128
        listed = f"{other}  other.qcow2\n{hashlib.sha512(content).hexdigest()}  debian.qcow2\n"
        vendor.files["/SHA512SUMS"] = listed.encode()
        operation = carried_out(workshop, begun(workshop.admin, **wish).operation)
        assert operation.status == "succeeded", operation.error_message
        image = Image.objects.get(name="own")
        assert (image.status, image.received_bytes) == ("ready", len(content))
        assert nothing_left(own_state_dir)

    def test_it_goes_on_where_it_was(self, workshop: Any, vendor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A claim has time for a little only; each next one asks for the rest."""
        from workers import fetch, image_import

        monkeypatch.setattr(fetch, "PIECE", 2**16)
        monkeypatch.setattr(image_import, "PIECE_SECONDS", 0.0)
        operation = begun(workshop.admin, **self.wish(vendor, qcow2())).operation
        assert workshop.claim_once(operation).status == "queued", operation.error_message
        assert "Fetching own" in operation.step
        carried_out(workshop, operation)
        assert operation.status == "succeeded", operation.error_message
        assert vendor.asked[0][1] is None
        assert len(vendor.asked) > 3
        begins = [int((asked or "").removeprefix("bytes=").rstrip("-")) for _path, asked in vendor.asked[1:]]
        assert begins == sorted(set(begins)) and begins[0] > 0

    def test_another_file_than_promised(self, workshop: Any, vendor: Any, own_state_dir: Path) -> None:
        wish = self.wish(vendor, qcow2())
        vendor.files["/debian.qcow2"] = qcow2(size=2 * 2**20)
        operation = carried_out(workshop, begun(workshop.admin, **wish).operation)
        assert (operation.status, operation.error_code) == ("failed", "image.checksum")
        assert nothing_left(own_state_dir)

    @pytest.mark.parametrize("name", LEAKING)
    def test_a_hostile_file_with_the_right_checksum(
        self, workshop: Any, vendor: Any, name: str, tmp_path: Path
    ) -> None:
        (tmp_path / "canary").write_bytes(bytes(4096))
        LEAKING[name](tmp_path / "hostile", tmp_path / "canary")
        wish = self.wish(vendor, (tmp_path / "hostile").read_bytes())
        operation = carried_out(workshop, begun(workshop.admin, **wish).operation)
        assert operation.status == "failed"
        assert operation.error_code in ("image.backing_file", "image.data_file", "image.format")

    def test_the_catalogue(self, workshop: Any, vendor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A vendor's image by its name, with a local server in the vendor's place."""
        from apps.storage import images
        from apps.storage.catalogue import Offer
        from apps.storage.models import Image

        content = qcow2()
        vendor.files |= {"/d.qcow2": content, "/SUMS": f"{hashlib.sha256(content).hexdigest()} *d.qcow2".encode()}
        offer = Offer(
            name="debian-13", title="Debian 13", url=vendor.url("/d.qcow2"), sums=vendor.url("/SUMS"), user="debian",
            disk_gib=3, memory_mib=256, firmware="uefi",
        )  # fmt: skip
        monkeypatch.setattr(images, "offer_wanted", lambda _name: offer)
        operation = carried_out(workshop, begun(workshop.admin, catalogue="debian-13").operation)
        assert operation.status == "succeeded", operation.error_message
        image = Image.objects.get(name="debian-13")
        assert (image.min_disk_gib, image.min_memory_mib, image.default_user) == (3, 256, "debian")
        assert (image.firmware, image.title, image.status) == ("uefi", "Debian 13", "ready")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{256}  debian.qcow2", "sha256"),
        ("{256} *debian.qcow2", "sha256"),
        ("{256}  ./debian.qcow2\n{0}  other", "sha256"),
        ("-----BEGIN PGP SIGNED MESSAGE-----\n# x\nSHA256 (debian.qcow2) = {256}\n-----END", "sha256"),
        ("{512}\n", "sha512"),
        ("{512}  another-name-of-it\n", "sha512"),
        ("{256}  debian.qcow2\n{512}  debian.qcow2", "sha512"),
    ],
)
def test_lists_of_checksums(text: str, kind: str) -> None:
    text = text.replace("{256}", "a" * 64).replace("{512}", "b" * 128).replace("{0}", "c" * 64)
    assert checksum_in(text, name="debian.qcow2").startswith(kind)


@pytest.mark.parametrize("text", ["", "hello", "{0}  a\n{0}  b", "{0}  debian.qcow2\n{1}  debian.qcow2", "<html>"])
def test_lists_without_our_file(text: str) -> None:
    from apps.errors import Refused

    with pytest.raises(Refused):
        checksum_in(text.replace("{0}", "c" * 64).replace("{1}", "d" * 64), name="debian.qcow2")


class TestOfVM:
    def disk_of(self, workshop: Any, vm: Any) -> Path:
        """The VM's disk as a real file on the fake host: an overlay over the image's name on a host."""
        from workers.hosts import names

        vm.refresh_from_db()
        path: Path = workshop.fake.files / names() / vm.root_volume.volume_name
        path.parent.mkdir(parents=True, exist_ok=True)
        base = f"/var/lib/libvirt/images/x/img-{vm.image_id}.qcow2"
        command = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", base, "-F", "qcow2", str(path), "1G"]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=30)
        return path

    def off(self, workshop: Any) -> Any:
        from apps.storage.models import Image
        from apps.storage.selectors import image_path

        content = qcow2(size=2**30, l1_entries=2)
        image_path(workshop.image).write_bytes(content)
        Image.objects.filter(pk=workshop.image.pk).update(size_bytes=len(content))
        workshop.image.refresh_from_db()
        vm = workshop.running()
        workshop.carry_out(workshop.ask("power_off", vm))
        return vm

    def test_it_stands_alone(self, workshop: Any, own_state_dir: Path) -> None:
        from apps.compute.services.image import vm_image
        from apps.storage.models import Image

        vm = self.off(workshop)
        self.disk_of(workshop, vm)
        change = vm_image(actor=workshop.admin, vm_id=vm.pk, name="golden")
        operation = carried_out(workshop, change.operation)
        assert operation.status == "succeeded", operation.error_message
        image = Image.objects.get(name="golden")
        assert (image.status, image.virtual_size_bytes, image.cloud_init) == ("ready", 2**30, True)
        assert nothing_left(own_state_dir)

    def test_a_disk_whose_header_was_turned(self, workshop: Any) -> None:
        """A host, or whoever wrote the file there, names another backing file."""
        from apps.compute.services.image import vm_image

        vm = self.off(workshop)
        self.disk_of(workshop, vm).write_bytes(qcow2(backing=b"/etc/passwd"))
        operation = carried_out(workshop, vm_image(actor=workshop.admin, vm_id=vm.pk, name="golden").operation)
        assert (operation.status, operation.error_code) == ("failed", "image.backing_file")

    def test_one_that_runs_is_left_alone(self, workshop: Any) -> None:
        from apps.compute.services.image import vm_image
        from apps.errors import Conflict

        with pytest.raises(Conflict, match="not off"):
            vm_image(actor=workshop.admin, vm_id=workshop.running().pk, name="golden")


class TestTidyingUp:
    def test_a_copy_that_is_used_stays_and_an_unused_one_goes(self, workshop: Any) -> None:
        from apps.storage.images import images_prune
        from apps.storage.models import ImageCopy

        vm = workshop.running()
        copy = ImageCopy.objects.get()
        assert images_prune(actor=workshop.admin, older_than_days=0).operations == []
        workshop.carry_out(workshop.ask("delete", vm))
        assert copy.volume_name in workshop.volumes()
        assert images_prune(actor=workshop.admin).operations == [], "it was used a moment ago"
        (operation,) = images_prune(actor=workshop.admin, older_than_days=0).operations
        assert workshop.carry_out(operation).status == "succeeded"
        assert copy.volume_name not in workshop.volumes()
        assert not ImageCopy.objects.exists()
        assert workshop.running("again").power == "running"

    def test_what_a_disk_on_the_host_reads_through_stays(self, workshop: Any) -> None:
        """Our records know no disk of it; the host does."""
        from apps.storage.images import images_prune
        from apps.storage.models import ImageCopy, Volume

        vm = workshop.running()
        copy = ImageCopy.objects.get()
        Volume.objects.all().delete()
        type(vm).objects.update(image=None)
        (operation,) = images_prune(actor=workshop.admin, older_than_days=0).operations
        assert workshop.carry_out(operation).error_code == "image.in_use"
        assert copy.volume_name in workshop.volumes()
        assert workshop.power(vm) == "running"

    def test_deleting_an_image(self, workshop: Any, own_state_dir: Path) -> None:
        from apps.errors import Conflict
        from apps.storage.images import image_delete
        from apps.storage.models import Image

        vm = workshop.running()
        with pytest.raises(Conflict) as conflict:
            image_delete(actor=workshop.admin, image_id=workshop.image.pk)
        assert conflict.value.extra["vms"] == ["web-1"]
        workshop.carry_out(workshop.ask("delete", vm))
        operation = image_delete(actor=workshop.admin, image_id=workshop.image.pk).operation
        assert workshop.carry_out(operation).status == "succeeded"
        assert not Image.objects.exists()
        assert workshop.volumes() == set()
        assert list((own_state_dir / "images").glob("*.qcow2")) == []

    def test_a_replaced_image_goes_once_nobody_needs_it(self, workshop: Any) -> None:
        from apps.storage.images import images_prune
        from apps.storage.models import Image

        vm = workshop.running()
        Image.objects.update(superseded=True)
        assert images_prune(actor=workshop.admin).operations == []
        workshop.carry_out(workshop.ask("delete", vm))
        (operation,) = images_prune(actor=workshop.admin).operations
        assert (operation.kind, workshop.carry_out(operation).status) == ("image.delete", "succeeded")
        assert not Image.objects.exists()
