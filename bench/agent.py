"""B9: what the host agent costs on a host with many guests, and how much of that is the kernel's part."""

import fcntl
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agents.host.cloudsite_agent.identity import INGEST
from bench.figures import Line, Result, Sample, at_most, milliseconds, ratio
from bench.surroundings import Say
from tests.agents.host.backend import Backend
from tests.agents.host.pki import HOST, Authority

PACKAGE = Path(__file__).resolve().parent.parent / "agents" / "host"
INTERVAL = 5.0
"""Seconds between two samples in an installation. Here they are taken every second: the cost of one is the same."""
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
MIB = 2**20
WARM_UP = 5
"""Samples in which guests are found and looked at more closely."""


def measure(*, guests: int, samples: int, say: Say) -> Result:
    """In a network of its own, so that the tap interfaces meet nobody."""
    say(f"the agent beside {guests} guests, {samples} samples")
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "bench.agent", str(guests), str(samples)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60 + 3 * samples,
        check=True,
        cwd=PACKAGE.parent.parent,
    )
    found = json.loads(done.stdout)
    ours, floor = Sample(found["agent"]), Sample(found["floor"])
    share = ours.median / INTERVAL
    return Result(
        lines=[
            Line(
                work=f"agent: one sample of {guests} guests, taken and sent",
                ours=f"{ours} CPU",
                peer=f"reading the same files: {floor} CPU",
                ratio=f"{ratio(ours, floor):.1f}",
                must=at_most(share, 0.010, "≤ 1.0 % of a core"),
                moonshot=at_most(share, 0.0025, "≤ 0.25 %"),
            ),
            Line(
                work="agent: resident memory",
                ours=f"{found['resident'] / MIB:.0f} MiB",
                peer="-",
                ratio="-",
                must=at_most(found["resident"], 40 * MIB, "≤ 40 MiB"),
                moonshot=at_most(found["resident"], 15 * MIB, "≤ 15 MiB"),
            ),
        ],
        notes=[
            f"Agent: {share:.2%} of a core at one sample in 5 s; {milliseconds(ours.median / guests)} a guest. The "
            "guests are idle processes with a tap interface each; QEMU and libvirtd have no part in a sample."
        ],
        checked=[f"Agent: {found['samples']} samples arrived, each with {guests} guests and rates for all of them."],
    )


# --- inside the network of its own
def fake_guest(index: int, program: Path, stack: ExitStack) -> subprocess.Popen[bytes]:
    """A process that looks like QEMU: its name, its command line, a tap interface."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", b"vnet%d" % index, IFF_TAP | IFF_NO_PI))
    command = [str(program), "-c", "read line", "-name", f"guest=bench-{index}", "-uuid", str(uuid.UUID(int=index + 1))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[tap])
    os.close(tap)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def cpu_seconds(pid: int) -> float:
    """Of all threads, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def floor(pids: list[int], repetitions: int) -> list[float]:
    """The same files through kept descriptors, not looked at."""
    files = [os.open(f"/proc/{pid}/{name}", os.O_RDONLY) for pid in pids for name in ("stat", "io")]
    files += [os.open(f"/proc/{name}", os.O_RDONLY) for name in ("stat", "meminfo", "diskstats", "net/dev")]
    spent = []
    for _ in range(repetitions):
        begin = time.thread_time()
        for file in files:
            offset = 0
            while content := os.pread(file, 65536, offset):
                offset += len(content)
                if len(content) < 3000:
                    break
        spent.append(time.thread_time() - begin)
    for file in files:
        os.close(file)
    return spent


def configuration(directory: Path, authority: Authority, port: int) -> Path:
    mine = authority.issue(HOST)
    schedule = {"version": 0, "interval": 1, "guests": True, "cores": True}
    (directory / "state").mkdir()
    (directory / "state" / "schedule.json").write_text(json.dumps(schedule))
    document = {
        "ca": str(mine.ca),
        "certificate": str(mine.certificate),
        "key": str(mine.key),
        "state_dir": str(directory / "state"),
        "ingest": f"https://127.0.0.1:{port}",
    }
    (directory / "agent.json").write_text(json.dumps(document))
    return directory / "agent.json"


def inside(guests: int, samples: int) -> dict[str, Any]:
    """Seconds of CPU for each sample, from one arrival to the next, after some to warm up."""
    subprocess.run(["ip", "link", "set", "lo", "up"], stdin=subprocess.DEVNULL, timeout=10, check=True)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cs-agent-")))
        program = directory / "qemu-system-x86_64"
        program.symlink_to("/bin/sh")
        authority = Authority(directory)
        backend = Backend(authority.issue(INGEST, server=True))
        backend.schedule = {"version": 0}
        stack.callback(backend.close)
        pids = [fake_guest(index, program, stack).pid for index in range(guests)]
        configured = str(configuration(directory, authority, backend.server_port))
        agent = subprocess.Popen(
            ["/usr/bin/python3", "-S", "-m", "cloudsite_agent", "--config", configured],
            env={"PYTHONPATH": str(PACKAGE)},
            stdin=subprocess.DEVNULL,
        )
        stack.callback(agent.wait)
        stack.callback(agent.kill)
        spent, used = [], 0.0
        for number in range(WARM_UP + samples):
            backend.wait(number + 1)
            before, used = used, cpu_seconds(agent.pid)
            if number >= WARM_UP:
                spent.append(used - before)
        seen = [sample["guests"].values() for sample in list(backend.samples.values())[WARM_UP:]]
        if not all(len(values) == guests for values in seen):
            raise RuntimeError("a guest was not seen")
        if any(guest["net_receive"] is None for values in seen for guest in values):
            raise RuntimeError("a tap interface was not seen")
        status = Path(f"/proc/{agent.pid}/status").read_text()
        (resident,) = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS")]
        return {"agent": spent, "floor": floor(pids, samples), "resident": resident, "samples": len(seen)}


if __name__ == "__main__":
    print(json.dumps(inside(int(sys.argv[1]), int(sys.argv[2]))))
