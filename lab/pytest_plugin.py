"""Fixtures over the lab and the images: load with `pytest_plugins = ["lab.pytest_plugin"]`.

Images are built once and kept in `CLOUDSITE_TEST_CACHE` (default: a directory below the temporary
directory), so that only the first run on a machine pays for them. A session has one lab; a test leaves no
guest behind in it.
"""

import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from imagebuild import debian, efi, probe, tiny
from imagebuild.progress import Progress
from lab.host import Host
from lab.laboratory import Lab

SESSION_HOSTS = 3


@pytest.fixture(scope="session")
def test_cache() -> Path:
    """Where built images survive the session."""
    default = Path(tempfile.gettempdir()) / f"cloudsite-test-cache-{os.getuid()}"
    path = Path(os.environ.get("CLOUDSITE_TEST_CACHE") or default)
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="session")
def probe_kernel(test_cache: Path) -> probe.ProbeKernel:
    """Kernel and initramfs that print `CLOUDSITE-PROBE-OK`."""
    return probe.build(cache_dir=test_cache, progress=Progress(total=probe.STEPS))


@pytest.fixture(scope="session")
def tiny_image(test_cache: Path) -> Path:
    """A qcow2 disk that boots in seconds and has no cloud-init."""
    return tiny.build(cache_dir=test_cache, progress=Progress(total=tiny.STEPS))


@pytest.fixture(scope="session")
def tiny_uefi_image(test_cache: Path) -> Path:
    """The same for a machine with UEFI."""
    return efi.build(cache_dir=test_cache, progress=Progress(total=efi.STEPS), architecture="x86_64")


@pytest.fixture(scope="session")
def tiny_arm_image(test_cache: Path) -> Path:
    """The same for an aarch64 machine, which always has UEFI."""
    return efi.build(cache_dir=test_cache, progress=Progress(total=efi.STEPS), architecture="aarch64")


@pytest.fixture(scope="session")
def debian_image(test_cache: Path) -> Path:
    """The image `debian-12` as built from packages, also where the vendor's own could be had. Needs root."""
    need_root()
    return debian.build(cache_dir=test_cache, progress=Progress(total=debian.STEPS), choice="packages").path


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Lab]:
    """Three libvirt hosts and the outside, for the whole session."""
    need_root()
    with Lab(prefix=f"t{secrets.token_hex(3)}", hosts=SESSION_HOSTS) as lab:
        yield lab


@pytest.fixture(scope="session")
def lab_hosts(laboratory: Lab) -> Sequence[Host]:
    """The hosts of the session's lab."""
    return laboratory.hosts


def need_root() -> None:
    """Skip, saying why, where namespaces cannot be created."""
    if os.geteuid() != 0:
        pytest.skip("needs root: namespaces, network interfaces, chroot")
