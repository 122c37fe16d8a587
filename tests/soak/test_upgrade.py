"""A state directory of earlier code, with a machine that runs, under the code of today."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from bootstrap.commands import run
from bootstrap.settings import CODE_DIR
from tests.e2e.guests import reserved
from tests.soak.installed import Installed
from tests.waiting import wait_for

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1500)]
MIGRATIONS = "apps/*/migrations/[0-9]*.py"


def git(*words: str) -> str:
    """In the checkout, which may be somebody else's than root's."""
    command = ["git", "-c", "safe.directory=*", "-C", str(CODE_DIR), *words]
    return run(command, timeout=60).stdout.strip()


def earlier() -> str:
    """The commit to come from: the one that was asked for, else the last release, else the last code that knew one
    migration less."""
    if wanted := os.environ.get("CLOUDSITE_UPGRADE_FROM"):
        return git("rev-parse", "--verify", f"{wanted}^{{commit}}")
    if tags := git("tag", "--merged", "HEAD~1", "--sort=-creatordate"):
        return git("rev-parse", f"{tags.splitlines()[0]}^{{commit}}")
    newest = git("log", "-1", "--diff-filter=A", "--format=%H", "--", MIGRATIONS)
    return git("rev-parse", f"{newest}~1")


@pytest.fixture(scope="module")
def old_code(directory: Path) -> Path:
    """The files of the earlier commit, as a clone would have them."""
    target = directory / "old"
    target.mkdir()
    archive = directory / "old.tar"
    git("archive", "--format=tar", "-o", str(archive), earlier())
    run(["tar", "-xf", str(archive), "-C", str(target)], timeout=60)
    archive.unlink()
    return target


def migrations(code: Path) -> set[str]:
    return {f"{path.parent.parent.name}.{path.stem}" for path in code.glob(MIGRATIONS)}


def enter_image(installed: Installed, tiny_image: Path) -> None:
    """The tiny image, in a place where the service user can read it."""
    path = installed.state.parent / "tiny.qcow2"
    shutil.copy(tiny_image, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    installed.bootstrap("manage", "ensure_image", "tiny", "--file", str(path), "--checksum", digest)


def qemu(vm_id: str) -> tuple[int, str]:
    """The process id of a machine's QEMU, and when that process began: ids come again."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            if b"-uuid" in words and words[words.index(b"-uuid") + 1] == vm_id.encode():
                began = (path.parent / "stat").read_text().rpartition(")")[2].split()[19]
                found.append((int(path.parent.name), began))
        except (FileNotFoundError, ProcessLookupError):
            continue
    assert len(found) == 1, found
    return found[0]


def boot_of(vm: dict[str, object]) -> str:
    """What the guest's web server says of itself: its name and its boot."""
    command = ["curl", "-sf", "--max-time", "3", f"http://{reserved(vm)}/"]
    return wait_for(
        lambda: run(command, timeout=10, check=False).stdout.strip(), seconds=90, what="the guest", every=0.5
    )


def test_machines_run_on_under_newer_code(
    installed: Installed, old_code: Path, tiny_image: Path, directory: Path
) -> None:
    print(f"from {git('log', '-1', '--format=%h %s', earlier())}")
    installed.start(old_code)
    installed.page("/")
    installed.host_up()
    enter_image(installed, tiny_image)
    vm = installed.create("survivor")
    process, boot = qemu(vm["id"]), boot_of(vm)
    before = installed.migrations()
    installed.stop()
    assert qemu(vm["id"]) == process, "the machine does not run on while Cloudsite is away"

    print(f"ready again after {installed.start():.1f} s")
    new = migrations(CODE_DIR) - migrations(old_code)
    print(f"{len(new)} migrations: {' '.join(sorted(new))}")
    assert installed.migrations() - before == new
    assert (qemu(vm["id"]), boot_of(vm)) == (process, boot)
    assert installed.page(f"/vms/{vm['id']}/").status_code == 200, "who was signed in has to sign in again"
    installed.host_up()
    installed.wait_status(vm, "running")

    body = {"name": "after"}
    taken = installed.call("POST", f"vms/{vm['id']}/snapshots/", expect=202, json=body)
    installed.succeeded(taken["operation"], seconds=180)
    assert qemu(vm["id"]) == process
    (snapshot,) = installed.results(f"snapshots/?vm={vm['id']}&status=ready")
    removed = installed.call("DELETE", f"snapshots/{snapshot['id']}/", expect=202)
    installed.succeeded(removed["operation"])
    installed.succeeded(installed.verb(vm, "shutdown", {"timeout_s": 60}))
    installed.wait_status(vm, "stopped")
    installed.succeeded(installed.verb(vm, "start"))
    assert boot_of(vm) != boot
    installed.delete(vm)
    assert (installed.left()["guests"], installed.files()) == ([], [])

    name = installed.name
    installed.stop()
    installed.bootstrap("uninstall", "--yes")
    assert not any(installed.left(name).values()), installed.left(name)
    assert not installed.state.exists()
