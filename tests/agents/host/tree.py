"""Trees that look like /proc and /sys, to be read by the agent instead of the machine's own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
MEMINFO = """MemTotal:       24684096 kB
MemFree:         1000000 kB
MemAvailable:   22126640 kB
SwapTotal:       2097152 kB
SwapFree:        1048576 kB
HugePages_Total:       0
"""
ONE = "6b2f4a9e-1c1d-4a52-9d63-0d2f8f4f0001"
TWO = "6b2f4a9e-1c1d-4a52-9d63-0d2f8f4f0002"


class Tree:
    """``proc`` and ``sys`` below one directory; every method writes a file as the kernel would."""

    def __init__(self, root: Path) -> None:
        self.proc, self.sys = root / "proc", root / "sys"
        self.proc.mkdir()
        self.sys.mkdir()
        self.write("proc/sys/kernel/random/boot_id", "8c1f0f7e-0000-4000-8000-000000000001\n")

    def write(self, path: str, content: str | bytes) -> Path:
        file = self.proc.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def host(self) -> None:
        """A machine with two cores that has just been started."""
        self.cpu([0] * 8, [0] * 8)
        self.write("proc/loadavg", "1.25 0.80 0.40 2/345 6789\n")
        self.write("proc/meminfo", MEMINFO)
        for name, value in (("cpu", "0.50"), ("memory", "0.00"), ("io", "12.34")):
            text = (
                f"some avg10={value} avg60=0.10 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n"
            )
            self.write(f"proc/pressure/{name}", text)
        self.disks({"sda": (0, 0, 0, 0)})
        self.interfaces({"eth0": (0, 0)})
        (self.sys / "block" / "sda" / "device").mkdir(parents=True)
        (self.sys / "class" / "net" / "eth0" / "device").mkdir(parents=True)

    def cpu(self, *cores: Sequence[int]) -> None:
        """Ticks of each core: user nice system idle iowait irq softirq steal."""
        total = [sum(values) for values in zip(*cores, strict=True)]
        lines = [f"cpu  {' '.join(map(str, total))} 0 0"]
        lines += [f"cpu{index} {' '.join(map(str, core))} 0 0" for index, core in enumerate(cores)]
        self.write("proc/stat", "\n".join([*lines, "intr 123 4 5 6", "ctxt 99", ""]))

    def disks(self, disks: Mapping[str, tuple[int, int, int, int]]) -> None:
        """Reads, sectors read, writes, sectors written."""
        lines = [
            f" 8 0 {name} {reads} 7 {sectors_read} 11 {writes} 13 {sectors_written} 17 0 19 23"
            for name, (reads, sectors_read, writes, sectors_written) in disks.items()
        ]
        self.write("proc/diskstats", "\n".join([*lines, ""]))

    def interfaces(self, traffic: Mapping[str, tuple[int, int]]) -> None:
        """Bytes received and sent."""
        head = "Inter-|   Receive      |  Transmit\n face |bytes packets errs drop |bytes packets errs\n"
        lines = [
            f"{name:>6}: {received} 1 0 0 0 0 0 0 {sent} 2 0 0 0 0 0 0" for name, (received, sent) in traffic.items()
        ]
        self.write("proc/net/dev", head + "\n".join([*lines, ""]))

    def process(self, pid: int, *command: str, comm: str = "bash") -> None:
        self.write(f"proc/{pid}/comm", f"{comm}\n")
        self.write(f"proc/{pid}/cmdline", "\0".join([*command, ""]))
        self.usage(pid)

    def guest(self, pid: int, uuid: str, *, name: str = "web", taps: Sequence[str] = ()) -> None:
        """A QEMU process as libvirt starts it."""
        command = (
            "/usr/bin/qemu-system-x86_64",
            "-name",
            f"guest={name},debug-threads=on",
            "-m",
            "1",
            "-uuid",
            uuid,
            "-S",
        )
        self.process(pid, *command, comm="qemu-system-x86")
        self.storage(pid)
        (self.proc / str(pid) / "fd").mkdir(exist_ok=True)
        self.descriptor(pid, 3, "/dev/kvm", "pos:\t0\n")
        self.descriptor(pid, 4, "socket:[1234]", "pos:\t0\n")
        for index, tap in enumerate(taps):
            self.tap(pid, 20 + index, tap)

    def tap(self, pid: int, number: int, name: str) -> None:
        self.descriptor(pid, number, "/dev/net/tun", f"pos:\t0\nflags:\t0104002\nmnt_id:\t9\nino:\t5\niff:\t{name}\n")

    def descriptor(self, pid: int, number: int, target: str, info: str) -> None:
        (self.proc / str(pid) / "fd" / str(number)).symlink_to(target)
        self.write(f"proc/{pid}/fdinfo/{number}", info)

    def usage(self, pid: int, *, user: int = 0, system: int = 0, resident: int = 0, name: str = "qemu") -> None:
        """Ticks and bytes."""
        before = "S 1 1 1 0 -1 4194560 1 0 0 0"
        after = "0 0 20 0 5 0 123456 999999999"
        self.write(
            f"proc/{pid}/stat", f"{pid} ({name}) {before} {user} {system} {after} {resident // PAGE} 1844 1 2 3\n"
        )

    def storage(self, pid: int, *, read: int = 0, written: int = 0) -> None:
        text = f"read_bytes: {read}\nwrite_bytes: {written}\ncancelled_write_bytes: 0\n"
        self.write(f"proc/{pid}/io", f"rchar: 9\nwchar: 9\nsyscr: 9\nsyscw: 9\n{text}")

    def zone(self, name: str, label: str, energy: int, *, limit: int = 262_143_328_850) -> None:
        """One RAPL counter."""
        self.write(f"sys/class/powercap/{name}/name", f"{label}\n")
        self.write(f"sys/class/powercap/{name}/energy_uj", f"{energy}\n")
        self.write(f"sys/class/powercap/{name}/max_energy_range_uj", f"{limit}\n")

    def chip(self, index: int, label: str, **files: str) -> None:
        """One hwmon device."""
        self.write(f"sys/class/hwmon/hwmon{index}/name", f"{label}\n")
        for name, content in files.items():
            self.write(f"sys/class/hwmon/hwmon{index}/{name}", f"{content}\n")
