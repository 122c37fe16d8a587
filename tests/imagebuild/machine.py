"""A plain QEMU without libvirt: enough to see whether an image boots and what it says."""

import json
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.process import run, wait_until

CPU = "qemu64,+rdrand"


class Machine:
    """A running QEMU: its serial port is a file, its power button a QMP command."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process = process
        self.directory = directory

    def console(self) -> str:
        """All that came out of the serial port so far."""
        return (self.directory / "serial").read_bytes().decode(errors="replace")

    def wait_console(self, text: str, *, timeout: float) -> None:
        """Wait until the serial port has said `text`."""
        wait_until(lambda: text in self.console(), timeout=timeout, what=f"{text!r} on the serial port")

    def power_button(self) -> None:
        """Press it."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(5)
            monitor.connect(str(self.directory / "qmp"))
            answers = monitor.makefile("r")
            for command in ("qmp_capabilities", "system_powerdown"):
                monitor.sendall(json.dumps({"execute": command}).encode() + b"\n")
                while "return" not in json.loads(answers.readline()):
                    pass


@contextmanager
def machine(*arguments: str, memory: int = 192) -> Iterator[Machine]:
    """Run QEMU without hardware acceleration; whatever happens, it is gone afterwards. `memory` in MiB."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "serial").touch()
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", CPU, "-m", str(memory)]
        argv += ["-display", "none", "-nodefaults", "-no-reboot", "-serial", f"file:{directory}/serial"]
        argv += ["-qmp", f"unix:{directory}/qmp,server=on,wait=off", "-device", "virtio-rng-pci"]
        process = subprocess.Popen([*argv, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            yield Machine(process, directory)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)


def disk(path: Path) -> Sequence[str]:
    """Arguments for a virtio disk that is written to nowhere but a temporary file."""
    return ("-drive", f"file={path},format=qcow2,if=virtio,snapshot=on")


def seed(directory: Path, *, meta_data: str, user_data: str = "#cloud-config\n") -> Sequence[str]:
    """Write a NoCloud seed and return the arguments that attach it as a read-only virtio disk."""
    (directory / "meta-data").write_text(meta_data)
    (directory / "user-data").write_text(user_data)
    iso = directory / "seed.iso"
    files = [directory / "meta-data", directory / "user-data"]
    run(["genisoimage", "-quiet", "-output", iso, "-volid", "cidata", "-rational-rock", "-joliet", *files])
    return ("-drive", f"file={iso},format=raw,if=virtio,readonly=on")


def network(*, port: int, guest_port: int) -> Sequence[str]:
    """Arguments for a NIC behind QEMU's own NAT, with one port of the guest on the loopback's `port`."""
    forward = f"hostfwd=tcp:127.0.0.1:{port}-:{guest_port}"
    return ("-netdev", f"user,id=nic,{forward}", "-device", "virtio-net-pci,netdev=nic")


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
