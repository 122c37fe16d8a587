"""The seed ISO is what cloud-init looks for, and carries every byte as given."""

import io
import shutil
import subprocess
from pathlib import Path

import pycdlib
import pytest

from hypervisor.seed import build_seed

USER_DATA = "#cloud-config\nruncmd: ['echo ü \\x00']\r\n".encode() + bytes(range(256))


def files_of(image: bytes) -> dict[str, bytes]:
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    found = {}
    for child in iso.list_children(rr_path="/"):
        if child.is_file():
            content = io.BytesIO()
            name = child.rock_ridge.name().decode()
            iso.get_file_from_iso_fp(content, rr_path=f"/{name}")
            found[name] = content.getvalue()
    iso.close()
    return found


def test_content_is_byte_for_byte() -> None:
    image = build_seed(meta_data=b"instance-id: x", user_data=USER_DATA, vendor_data=b"v", network_config=b"version: 2")
    assert files_of(image) == {
        "meta-data": b"instance-id: x",
        "user-data": USER_DATA,
        "vendor-data": b"v",
        "network-config": b"version: 2",
    }


def test_what_says_nothing_is_left_out() -> None:
    assert files_of(build_seed(meta_data=b"x")) == {"meta-data": b"x", "user-data": b""}


def test_label_is_the_one_cloud_init_looks_for(tmp_path: Path) -> None:
    blkid = shutil.which("blkid") or shutil.which("blkid", path="/usr/sbin:/sbin")
    if blkid is None:
        pytest.skip("no blkid")
    file = tmp_path / "seed.iso"
    file.write_bytes(build_seed(meta_data=b"x"))
    done = subprocess.run(
        [blkid, "-o", "export", str(file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "TYPE=iso9660" in done.stdout
    assert "LABEL=CIDATA" in done.stdout.upper()
