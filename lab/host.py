"""One lab host: a full libvirt host that tests can reboot, freeze, cut off and reconfigure."""

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import bridge, tls
from lab.disk import HostDisk
from lab.errors import LabError
from lab.namespaces import Namespaces
from lab.process import wait_until

READY_SECONDS = 40
DAEMON_SECONDS = 20
SSH_PORT = 22
TLS_PORT = 16514
LIBVIRTD = "/usr/sbin/libvirtd"
LIBVIRTD_PID = "/run/libvirtd.pid"
HIDDEN_DEVICES = ("/dev/kvm",)


@dataclass(kw_only=True)
class Host:
    """A host of the lab; all it is lies in two directories, so any process can take it up again."""

    name: str
    address: str
    netmask_bits: int
    gateway: str
    bridge: str
    cable: str
    password: str
    state_dir: Path
    disk_dir: Path
    ssh_port: int = SSH_PORT
    tls_port: int = TLS_PORT

    @property
    def disk(self) -> HostDisk:
        """What the host keeps across reboots."""
        return HostDisk(root=self.disk_dir, shared=self.disk_dir.parent / "capabilities")

    @property
    def namespaces(self) -> Namespaces:
        """The host's namespaces."""
        return Namespaces(state_dir=self.state_dir)

    def start(self) -> None:
        """Power the host on; returns once libvirtd and sshd answer."""
        self.begin_start()
        self.wait_ready()

    def begin_start(self) -> None:
        """Power the host on without waiting, so that several hosts can start at once."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        configuration = self.state_dir / "configuration.json"
        configuration.write_text(json.dumps(self._configuration()))
        pid = self.namespaces.start("lab.hostinit", configuration=configuration)
        bridge.plug(self.cable, bridge=self.bridge, pid=pid, address=self.address)

    def wait_ready(self) -> None:
        """Wait until the host's daemons answer."""
        try:
            wait_until(self._started, timeout=READY_SECONDS, what=f"the start of {self.name}")
        except LabError as error:
            raise LabError(f"{error}: {self.namespaces.log_tail()}") from error
        self._wait_libvirtd()

    def power_off(self) -> None:
        """Pull the plug: every process of the host, guests included, is killed."""
        self.namespaces.kill()
        bridge.remove_link(self.cable)

    def reboot(self) -> None:
        """Pull the plug and start again: only what is on disk (definitions, images, keys) is still there."""
        self.power_off()
        self.start()

    def running(self) -> bool:
        """Whether the host is powered on."""
        return self.namespaces.running()

    def run(
        self, *argv: str, timeout: float = 30, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the host as root; with `check`, failure is a LabError."""
        return self.namespaces.run(argv, timeout=timeout, check=check, text=text)

    def virsh(self, *arguments: str, timeout: float = 30, check: bool = True) -> str:
        """What `virsh` on the host's own libvirtd prints."""
        argv = ("virsh", "--quiet", "--connect", "qemu:///system", *arguments)
        return self.run(*argv, timeout=timeout, check=check).stdout.strip()

    def path(self, inside: str) -> Path:
        """How the machine sees an absolute path of the host."""
        return self.namespaces.path(inside)

    def boot_id(self) -> str:
        """Changes with every start of the host."""
        return self.run("cat", "/proc/sys/kernel/random/boot_id").stdout.strip()

    def stop_libvirtd(self) -> None:
        """Stop libvirtd in an orderly way; guests run on."""
        self._signal_libvirtd("TERM")
        wait_until(self._libvirtd_gone, timeout=DAEMON_SECONDS, what=f"the end of libvirtd on {self.name}")

    def kill_libvirtd(self) -> None:
        """Kill libvirtd with no chance to clean up; guests run on."""
        self._signal_libvirtd("KILL")
        wait_until(self._libvirtd_gone, timeout=DAEMON_SECONDS, what=f"the end of libvirtd on {self.name}")

    def start_libvirtd(self) -> None:
        """Start libvirtd and wait until it answers."""
        self.run(*self._libvirtd())
        self._wait_libvirtd()

    def ensure_libvirtd(self) -> None:
        """Have libvirtd running and answering, whatever was done to it."""
        if self._libvirtd_pid() is None:
            self.start_libvirtd()
        else:
            self.thaw()
            self._wait_libvirtd()

    def freeze(self) -> None:
        """Stop libvirtd in its tracks: it accepts connections and never answers."""
        self._signal_libvirtd("STOP")

    def thaw(self) -> None:
        """Let a frozen libvirtd go on."""
        self._signal_libvirtd("CONT")

    def cut_network(self) -> None:
        """Pull the host's network cable: packets vanish, connections stay open and silent."""
        bridge.set_plugged(self.cable, plugged=False)

    def restore_network(self) -> None:
        """Plug the cable in again."""
        bridge.set_plugged(self.cable, plugged=True)

    def add_authorized_key(self, line: str) -> None:
        """Let the owner of a public key in as root."""
        self.disk.add_authorized_key(line)

    def host_key_fingerprint(self) -> str:
        """Fingerprint of the SSH host key (`SHA256:...`)."""
        return self.disk.host_key_fingerprint()

    def regenerate_host_key(self) -> None:
        """Give the host a new SSH host key, as a reinstalled (or impersonated) host has."""
        self.disk.new_host_key()

    def install_tls(self, *, ca_cert: str, server_cert: str, server_key: str, allowed_dn: str) -> None:
        """Install certificates (PEM); libvirtd listens on `tls_port` for clients with `allowed_dn` only."""
        tls.install(self.disk_dir / "etc", ca=ca_cert, certificate=server_cert, key=server_key)
        tls.allow(self.disk_dir / "etc", dn=allowed_dn, address=self.address, port=self.tls_port)
        self._restart_libvirtd()

    def remove_tls(self) -> None:
        """Listen no more."""
        tls.forbid(self.disk_dir / "etc")
        self._restart_libvirtd()

    def _configuration(self) -> dict[str, object]:
        return {
            "name": self.name,
            "address": f"{self.address}/{self.netmask_bits}",
            "gateway": self.gateway,
            "binds": self.disk.binds,
            "hidden": list(HIDDEN_DEVICES),
            "libvirtd": self._libvirtd(),
        }

    def _libvirtd(self) -> list[str]:
        listen = ["--listen"] if tls.enabled(self.disk_dir / "etc") else []
        return [LIBVIRTD, "--daemon", *listen]

    def _started(self) -> bool:
        if not self.running():
            raise LabError(f"{self.name} stopped while it was starting")
        return self.path("/run/started").exists()

    def _wait_libvirtd(self) -> None:
        def answers() -> bool:
            with contextlib.suppress(LabError):
                self.virsh("version", timeout=DAEMON_SECONDS)
                return True
            return False

        wait_until(answers, timeout=DAEMON_SECONDS, what=f"an answer of libvirtd on {self.name}")

    def _libvirtd_pid(self) -> str | None:
        try:
            pid = self.path(LIBVIRTD_PID).read_text().strip()
            command = self.path(f"/proc/{pid}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return pid if command == "libvirtd" else None

    def _restart_libvirtd(self) -> None:
        if self.running():
            self.stop_libvirtd()
            self.start_libvirtd()

    def _libvirtd_gone(self) -> bool:
        return self._libvirtd_pid() is None

    def _signal_libvirtd(self, name: str) -> None:
        pid = self._libvirtd_pid()
        if pid is None:
            raise LabError(f"libvirtd does not run on {self.name}")
        self.run("kill", f"-{name}", pid)
