"""The archive is one that other programs read, and modules come after what they need."""

from pathlib import Path

import pytest

from imagebuild import kernel
from imagebuild.cpio import Archive
from imagebuild.errors import BuildError
from lab.process import run

VERSION = "6.1.0-test"


def test_busybox_reads_the_archive(tmp_path: Path) -> None:
    archive = Archive()
    archive.directory("d")
    archive.file("d/run", b"#!/bin/sh\n", executable=True)
    archive.file("d/odd", b"12345")
    archive.symlink("d/link", "odd")
    (tmp_path / "archive").write_bytes(archive.to_bytes())
    run(["sh", "-c", 'cd "$1" && busybox cpio -i -d < archive', "sh", tmp_path])
    assert (tmp_path / "d" / "link").read_bytes() == b"12345"
    assert (tmp_path / "d" / "run").stat().st_mode & 0o777 == 0o755


def test_the_same_content_is_the_same_archive() -> None:
    def make() -> bytes:
        archive = Archive()
        archive.file("a", b"x")
        archive.character_device("console", major=5, minor=1)
        return archive.to_bytes()

    assert make() == make()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "lib" / "modules" / VERSION
    (tree / "kernel").mkdir(parents=True)
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / f"vmlinuz-{VERSION}").touch()
    (tree / "modules.builtin").write_text("kernel/drivers/virtio/virtio.ko\n")
    for name, needs in (("virtio-net", "net_failover,virtio"), ("net_failover", "failover"), ("failover", "")):
        (tree / "kernel" / f"{name}.ko").write_bytes(b"license=GPL\0depends=" + needs.encode() + b"\0name=x\0")
    return tmp_path


def test_modules_come_after_what_they_need(root: Path) -> None:
    found = kernel.module_files(root, names=("virtio_net", "failover"))
    assert [path.stem for path in found] == ["failover", "net_failover", "virtio-net"]


def test_a_missing_module_is_an_error_and_a_builtin_one_is_not(root: Path) -> None:
    assert kernel.module_files(root, names=("virtio",)) == []
    with pytest.raises(BuildError, match="no module ext5"):
        kernel.module_files(root, names=("ext5",))


def test_two_kernels_are_one_too_many(root: Path) -> None:
    (root / "boot" / "vmlinuz-2").touch()
    with pytest.raises(BuildError, match="found 2"):
        kernel.kernel_image(root)
