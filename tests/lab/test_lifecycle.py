"""A lab leaves nothing behind: not on the way out, not when its owner is killed, not when it never got up."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab import Lab, LabError, addresses
from lab.bridge import link_exists
from lab.identity import Identity
from lab.laboratory import sweep
from lab.process import run, wait_until

pytestmark = pytest.mark.lab
START_SECONDS = 60


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A place for state and disks of labs that no other test sees."""
    yield tmp_path
    for state in tmp_path.glob("cloudsite-lab-*/lab.json"):
        prefix = state.parent.name.removeprefix("cloudsite-lab-")
        Lab(prefix=prefix, state_base=tmp_path, disk_base=tmp_path / "disks").down()


def new_lab(base: Path, *, prefix: str) -> Lab:
    (base / "disks").mkdir(exist_ok=True)
    return Lab(prefix=prefix, hosts=1, state_base=base, disk_base=base / "disks")


def test_down_leaves_nothing(base: Path) -> None:
    with new_lab(base, prefix="lcdown") as lab:
        host = lab.hosts[0]
        init = host.namespaces.init
        assert init is not None and init.alive()
        assert run(["ping", "-c", "1", "-W", "5", host.address]).returncode == 0
    assert not init.alive()
    assert not any(link_exists(f"lcdown-{end}") for end in ("br", "h1", "out"))
    assert not list(base.glob("cloudsite-lab-*/**")) and not list((base / "disks").iterdir())


def test_two_labs_side_by_side_do_not_meet(base: Path) -> None:
    with new_lab(base, prefix="lcone") as one, new_lab(base, prefix="lctwo") as two:
        assert one.hosts[0].address != two.hosts[0].address
        ping = one.hosts[0].run("ping", "-c", "1", "-W", "1", two.hosts[0].address, check=False)
        assert ping.returncode != 0


def test_the_next_lab_takes_away_what_a_killed_owner_left(base: Path) -> None:
    (base / "disks").mkdir()
    code = (
        "import sys, pathlib; from lab import Lab; base = pathlib.Path(sys.argv[1])\n"
        "Lab(prefix='lcdead', hosts=1, state_base=base, disk_base=base / 'disks').up()\n"
        "(base / 'up').touch(); sys.stdin.read()"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(base)], stdin=subprocess.PIPE)
    with owner:
        wait_until((base / "up").exists, timeout=START_SECONDS, what="the start of the other process's lab")
        dead = new_lab(base, prefix="lcdead")
        assert dead.attach()
        init = dead.hosts[0].namespaces.init
        assert init is not None
        assert sweep(base, base / "disks") == [], "a lab whose owner lives is left alone"
        assert init.alive()
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait(timeout=START_SECONDS)
    assert sweep(base, base / "disks") == ["lcdead"]
    assert not init.alive() and not link_exists("lcdead-h1") and not link_exists("lcdead-br")


def test_a_lab_that_cannot_start_leaves_nothing(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = new_lab(base, prefix="lcfail")
    monkeypatch.setattr("lab.host.LIBVIRTD", "/bin/false")
    with pytest.raises(LabError, match="stopped while it was starting"):
        lab.up()
    assert not link_exists("lcfail-br") and not lab.state_dir.exists() and not lab.disk_dir.exists()


def test_a_second_up_replaces_the_first(base: Path) -> None:
    with new_lab(base, prefix="lcagain") as lab:
        first = lab.hosts[0].namespaces.init
        lab.up()
        second = lab.hosts[0].namespaces.init
        assert first is not None and second is not None
        assert not first.alive() and second.alive()


def test_a_reused_pid_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    own = Identity.of(os.getpid())
    assert own.alive()
    assert not Identity(pid=own.pid, started=own.started + 1).alive()
    Identity(pid=own.pid, started=own.started + 1).kill()  # would end this very test
    own.save(tmp_path / "pid")
    assert Identity.load(tmp_path / "pid") == own
    assert Identity.load(tmp_path / "absent") is None


@pytest.mark.parametrize("prefix", ["", "1lab", "Lab", "lab-1", "averylongprefix", "../x"])
def test_a_prefix_is_a_plain_short_word(prefix: str) -> None:
    with pytest.raises(LabError, match="not a prefix"):
        Lab(prefix=prefix)


def test_a_network_in_use_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [IPv4Network("10.160.0.0/23"), IPv4Network("10.160.2.128/25")]
    monkeypatch.setattr(addresses, "used_networks", lambda: taken)
    assert addresses.free_plan().network == IPv4Network("10.160.3.0/24")
