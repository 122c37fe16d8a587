"""The job behind every door, on real files and the real qemu-img: canary, limits, normal form."""

import json
import lzma
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from imagefile import job, qemu_img
from imagefile.job import Job
from tests.imagefile.hostile import LEAKING, MIB, OTHERS, qcow2
from tests.waiting import wait_for

CANARY = b"canary-7c1f5e0b-that-nobody-may-read\n"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that the process may read and no guest may ever see."""
    path = tmp_path / "secret" / "canary"
    path.parent.mkdir()
    path.write_bytes(CANARY * (4096 // len(CANARY)) + bytes(4096 % len(CANARY)))
    return path


def made(directory: Path, **values: Any) -> dict[str, Any]:
    """What the job says about ``source`` in the directory."""
    wish = {"format": "qcow2", "most_bytes": 64 * MIB, "most_virtual_bytes": 128 * MIB, **values}
    (directory / "job.json").write_text(json.dumps(asdict(Job(**wish))))
    return job.process(directory)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


@pytest.mark.parametrize("name", LEAKING)
def test_the_canary_stays_where_it_is(name: str, directory: Path, canary: Path) -> None:
    LEAKING[name](directory / "source", canary)
    for declared in ("qcow2", "raw"):
        said = made(directory, format=declared)
        assert said.keys() == {"code", "detail"}, said
        assert not (directory / "image.qcow2").exists()
        assert CANARY not in everything_in(directory)


def cd(size: int = 2 * MIB) -> bytes:
    """The beginning of every CD, and nothing on it."""
    return bytes(0x8000) + b"\1CD001" + bytes(size - 0x8006)


def test_a_cd_stays_a_cd(directory: Path) -> None:
    (directory / "source").write_bytes(cd())
    said = made(directory, format="iso")
    assert (said["size_bytes"], said["virtual_size_bytes"]) == (2 * MIB, 2 * MIB)
    assert (directory / "image.iso").read_bytes() == cd()
    assert not (directory / "image.qcow2").exists()


@pytest.mark.parametrize("content", [bytes(2 * MIB), cd()[:-7], b"QFI\xfb" + cd()[4:], b"\x1f\x8b" + cd()[2:]])
def test_what_is_no_whole_cd_is_refused(directory: Path, content: bytes) -> None:
    (directory / "source").write_bytes(content)
    said = made(directory, format="iso", most_virtual_bytes=3 * MIB)
    assert said.keys() == {"code", "detail"}
    assert not (directory / "image.iso").exists()


@pytest.mark.parametrize("name", LEAKING)
def test_without_the_guard_it_leaks(name: str, directory: Path, canary: Path) -> None:
    """The control: what anybody would write first reads the canary out of each of them."""
    LEAKING[name](directory / "source", canary)
    command = ["qemu-img", "convert", "-O", "raw", str(directory / "source"), str(directory / "out")]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=30)
    assert CANARY in (directory / "out").read_bytes()


@pytest.mark.parametrize("name", [name for name in LEAKING if "backing" in name])
def test_without_the_inspector_it_leaks(
    name: str, directory: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second control: our own job with its guard taken out."""
    LEAKING[name](directory / "source", canary)
    taken = job.inspect(Path(_good(directory)), declared="qcow2", most_virtual_bytes=MIB)
    monkeypatch.setattr(job, "inspect", lambda *_a, **_k: taken)
    monkeypatch.setattr(job, "_check_with_qemu", lambda *_a, **_k: None)
    made(directory)
    command = [
        "qemu-img",
        "convert",
        "-f",
        "qcow2",
        "-O",
        "raw",
        str(directory / "image.qcow2"),
        str(directory / "out"),
    ]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=30)
    assert CANARY in (directory / "out").read_bytes()


def _good(directory: Path) -> str:
    path = directory / "good"
    path.write_bytes(qcow2())
    return str(path)


@pytest.mark.parametrize("name", OTHERS)
def test_every_hostile_file_is_refused(name: str, directory: Path, canary: Path) -> None:
    OTHERS[name](directory / "source", canary)
    said = made(directory)
    assert said["code"].startswith("image."), said
    assert said["code"] != "image.internal", said
    assert not (directory / "image.qcow2").exists()


def disk(path: Path, content: bytes, *, form: str = "qcow2", options: tuple[str, ...] = ()) -> None:
    """A disk with this content at its beginning, 8 MiB large."""
    raw = path.with_suffix(".raw")
    raw.write_bytes(content + bytes(8 * MIB - len(content)))
    command = ["qemu-img", "convert", "-f", "raw", "-O", form, *options, str(raw), str(path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=30)
    raw.unlink()


def content_of(path: Path) -> bytes:
    raw = path.with_suffix(".check")
    command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(path), str(raw)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=30)
    return raw.read_bytes()


@pytest.mark.parametrize(
    "options", [(), ("-c",), ("-c", "-o", "compression_type=zstd"), ("-o", "compat=0.10")], ids=str
)
def test_a_good_image_comes_out_plain(options: tuple[str, ...], directory: Path) -> None:
    disk(directory / "source", b"hello", options=options)
    digest = job.file_digest(directory / "source", "sha512")
    said = made(directory, checksum=f"sha512:{digest.upper()}")
    out = directory / "image.qcow2"
    assert said == {
        "sha256": job.file_digest(out, "sha256"),
        "size_bytes": out.stat().st_size,
        "virtual_size_bytes": 8 * MIB,
    }
    assert content_of(out)[:5] == b"hello"
    assert qemu_img.info(out, format="qcow2")["format-specific"]["data"]["compat"] == "1.1"


def test_a_raw_disk_that_holds_a_qcow2_header_inside_stays_content(directory: Path, canary: Path) -> None:
    """A guest may write what it likes into its disk; only the first bytes of an upload are looked at."""
    hidden = qcow2(backing=str(canary).encode())
    (directory / "source").write_bytes(bytes(MIB) + hidden)
    said = made(directory, format="raw")
    assert said["virtual_size_bytes"] == MIB + len(hidden)
    assert content_of(directory / "image.qcow2")[MIB:] == hidden


def test_the_disk_of_a_vm_is_flattened_through_the_base_that_we_name(directory: Path, canary: Path) -> None:
    """The header names the host's path of the base; what is opened is ours. The guest wrote a hostile header."""
    base, overlay = directory / "base.qcow2", directory / "source"
    disk(base, b"from the base")
    hostile = qcow2(backing=str(canary).encode())
    named = directory / "img-1.qcow2"
    named.write_bytes(base.read_bytes())
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(named), "-F", "qcow2", str(overlay), "12M"],
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=30,
    )
    patch = directory / "patch"
    patch.write_bytes(hostile)
    command = ["qemu-io", "-f", "qcow2", "-c", f"write -s {patch} 4M {len(hostile)}", str(overlay)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=30)
    named.write_bytes(canary.read_bytes())  # what the header points at is not what is read
    said = made(directory, base=str(base), base_name="img-1.qcow2")
    assert said["virtual_size_bytes"] == 12 * MIB, said
    content = content_of(directory / "image.qcow2")
    assert content[:13] == b"from the base"
    assert content[4 * MIB : 4 * MIB + len(hostile)] == hostile
    assert CANARY not in content


def test_bombs(directory: Path) -> None:
    """Small files that unpack to more than is allowed: by xz, by qcow2's own compression, by their disk's size."""
    (directory / "source").write_bytes(lzma.compress(bytes(80 * MIB)))
    assert made(directory, packed="xz")["code"] == "image.too_large"
    assert not (directory / "image.qcow2").exists()
    disk(directory / "source", os.urandom(4 * MIB), options=("-c",))
    assert made(directory, most_bytes=2 * MIB)["code"] == "image.not_convertible"
    assert not (directory / "image.qcow2").exists()
    assert made(directory, most_virtual_bytes=4 * MIB)["code"] == "image.too_large"


def test_packed(directory: Path) -> None:
    disk(directory / "plain", b"hello")
    (directory / "source").write_bytes(lzma.compress((directory / "plain").read_bytes()))
    assert made(directory, packed="xz")["virtual_size_bytes"] == 8 * MIB
    (directory / "source").write_bytes(b"\xfd7zXZ\0 and then nothing of the kind")
    assert made(directory, packed="xz")["code"] == "image.damaged"


def test_a_file_cut_off_within_its_data(directory: Path) -> None:
    disk(directory / "source", os.urandom(4 * MIB))
    whole = (directory / "source").read_bytes()
    (directory / "source").write_bytes(whole[: 2 * MIB])
    assert made(directory)["code"] in ("image.damaged", "image.not_convertible")


def test_another_sum(directory: Path) -> None:
    disk(directory / "source", b"hello")
    assert made(directory, checksum="sha256:" + "0" * 64)["code"] == "image.checksum"


def test_it_runs_on_its_own_and_once(directory: Path) -> None:
    disk(directory / "source", b"hello")
    wish = Job(format="qcow2", most_bytes=64 * MIB, most_virtual_bytes=64 * MIB)
    assert job.start(directory, wish)
    wait_for(lambda: job.result(directory), seconds=30, what="the result")
    assert "sha256" in (job.result(directory) or {})
    wait_for(lambda: not job.is_running(directory), seconds=10, what="the end of the job")


def test_no_option_gets_into_a_path(tmp_path: Path) -> None:
    for name in ("nbd://x", "relative.qcow2", f"{tmp_path}/a,backing.file.filename=/etc/passwd"):
        with pytest.raises(ValueError, match="plain absolute path"):
            qemu_img.info(Path(name), format="qcow2")
