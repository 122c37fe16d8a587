"""The look at a header: what is refused, what is taken, and that nonsense never gets through."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagefile.errors import ImageRefused
from imagefile.inspector import Inspected, inspect
from tests.imagefile.hostile import LEAKING, MIB, OTHERS, qcow2

TIB = 2**40


def look(path: Path, declared: str = "qcow2", **more: str) -> Inspected:
    return inspect(path, declared=declared, most_virtual_bytes=TIB, **more)


@pytest.mark.parametrize("name", [*LEAKING, *OTHERS])
def test_a_hostile_file_is_refused_as_qcow2(name: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    (tmp_path / "canary").write_bytes(bytes(4096))
    {**LEAKING, **OTHERS}[name](path, tmp_path / "canary")
    with pytest.raises(ImageRefused) as refusal:
        look(path)
    assert refusal.value.code.startswith("image.")
    assert str(tmp_path) not in refusal.value.detail


@pytest.mark.parametrize(
    "name",
    [name for name in LEAKING if "VMDK" in name]
    + ["VMDK descriptor after a comment"]
    + ["QED", "VDI", "VHDX", "VPC", "gzip"],
)
def test_what_looks_like_another_format_is_not_raw(name: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    (tmp_path / "canary").write_bytes(bytes(4096))
    {**LEAKING, **OTHERS}[name](path, tmp_path / "canary")
    with pytest.raises(ImageRefused) as refusal:
        look(path, "raw")
    assert refusal.value.code in ("image.format", "image.damaged")


def test_a_qcow2_is_not_raw(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(qcow2())
    with pytest.raises(ImageRefused, match="looks like qcow2"):
        look(path, "raw")


@pytest.mark.parametrize("declared", ["vmdk", "vhdx", "qed", "cd", "", "QCOW2", "json:{}"])
def test_other_formats_are_not_even_opened(declared: str, tmp_path: Path) -> None:
    with pytest.raises(ImageRefused) as refusal:
        look(tmp_path / "missing", declared)
    assert refusal.value.code == "image.format"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-o", "compat=0.10"),
        ("-o", "cluster_size=512"),
        ("-o", "cluster_size=2M"),
        ("-o", "compression_type=zstd"),
        ("-o", "extended_l2=on"),
        ("-o", "lazy_refcounts=on"),
        ("-o", "preallocation=metadata"),
        ("-o", "refcount_bits=1"),
    ],
    ids=str,
)
def test_what_qemu_makes_is_taken(options: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "image"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), "40M"]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=30)
    assert look(path).virtual_size_bytes == 40 * MIB


def test_the_maker_of_hostile_files_makes_a_good_one(tmp_path: Path) -> None:
    """Else everything above would be refused for the wrong reason."""
    path = tmp_path / "image"
    for content in (
        qcow2(),
        qcow2(version=2, header_length=72),
        qcow2(incompatible=1 << 3, header_length=112, more=b"\1" + bytes(7)),
    ):
        path.write_bytes(content)
        assert look(path).virtual_size_bytes == MIB
        subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", str(path)], stdin=subprocess.DEVNULL, check=True)


def test_raw(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(os.urandom(MIB))
    assert look(path, "raw") == Inspected(format="raw", size_bytes=MIB, virtual_size_bytes=MIB)
    path.write_bytes(bytes(MIB + 100))
    with pytest.raises(ImageRefused, match="cut off"):
        look(path, "raw")


def test_the_limit_is_on_what_the_guest_sees(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(qcow2(size=2 * MIB))
    assert inspect(path, declared="qcow2", most_virtual_bytes=2 * MIB).virtual_size_bytes == 2 * MIB
    with pytest.raises(ImageRefused) as refusal:
        inspect(path, declared="qcow2", most_virtual_bytes=2 * MIB - 1)
    assert refusal.value.code == "image.too_large"


def test_an_overlay_of_ours_names_its_base_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(qcow2(backing=b"/var/lib/libvirt/images/cs-1/img-1.qcow2"))
    assert look(path, own_base="img-1.qcow2").backing.endswith("img-1.qcow2")
    for other in ("img-2.qcow2", "", "1.qcow2"):
        with pytest.raises(ImageRefused):
            look(path, own_base=other)
    path.write_bytes(qcow2(backing=b"nbd://127.0.0.1/img-1.qcow2"))
    with pytest.raises(ImageRefused):
        look(path, own_base="img-1.qcow2")


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_only_files(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    {
        "link": lambda: path.symlink_to("/etc/passwd"),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
    }[kind]()
    with pytest.raises((ImageRefused, OSError)):
        look(path)


def nonsense() -> st.SearchStrategy[bytes]:
    """A good header with some of its bytes changed, and the file cut anywhere."""
    changes = st.lists(st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=8)), max_size=6)
    return st.builds(_changed, changes, st.integers(0, 4 * 65536))


def _changed(changes: list[tuple[int, bytes]], length: int) -> bytes:
    content = bytearray(qcow2(backing=b"" if length % 2 else b"/etc/passwd"))
    for at, value in changes:
        content[at : at + len(value)] = value
    return bytes(content[: max(length, 1)])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nonsense") / "image"


@given(content=nonsense(), declared=st.sampled_from(["qcow2", "raw"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nonsense_is_refused_or_stands_alone(scratch: Path, content: bytes, declared: str) -> None:
    """Never another error, never long; and what is taken as a qcow2 names no other file."""
    scratch.write_bytes(content)
    begun = time.monotonic()
    try:
        found = look(scratch, declared)
    except ImageRefused:
        found = None
    assert time.monotonic() - begun < 1
    if found is not None and declared == "qcow2":
        assert found.backing == ""
        assert found.virtual_size_bytes <= TIB
