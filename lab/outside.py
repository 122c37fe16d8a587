"""The namespace that plays the internet, as the tests see it."""

import json
from dataclasses import dataclass
from pathlib import Path

from lab import bridge
from lab.errors import LabError
from lab.namespaces import Namespaces
from lab.process import wait_until

SERVICE_ADDRESS = "198.51.100.80"
HTTP_PORT = 80
DOMAIN = "outside.test"
READY_SECONDS = 20


@dataclass(kw_only=True)
class Outside:
    """A DNS server and an HTTP listener beyond the hosts' NAT.

    `http://{domain}/` answers `CLOUDSITE-OUTSIDE <address the request came from>`.
    """

    address: str
    netmask_bits: int
    bridge: str
    cable: str
    state_dir: Path
    hosts: dict[str, str]
    service: str = SERVICE_ADDRESS
    port: int = HTTP_PORT
    domain: str = DOMAIN

    @property
    def namespaces(self) -> Namespaces:
        """The namespaces it runs in."""
        return Namespaces(state_dir=self.state_dir)

    @property
    def url(self) -> str:
        """What a guest fetches to prove DNS and the way out."""
        return f"http://{self.domain}:{self.port}/"

    def begin_start(self) -> None:
        """Start it without waiting."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        configuration = self.state_dir / "configuration.json"
        configuration.write_text(
            json.dumps(
                {
                    "name": "outside",
                    "address": f"{self.address}/{self.netmask_bits}",
                    "service": self.service,
                    "port": self.port,
                    "domain": self.domain,
                    "hosts": self.hosts,
                    "log": str(self.state_dir / "dnsmasq.log"),
                }
            )
        )
        pid = self.namespaces.start("lab.outsideinit", configuration=configuration)
        bridge.plug(self.cable, bridge=self.bridge, pid=pid, address=self.address)

    def wait_ready(self) -> None:
        """Wait until both servers listen."""
        wait_until(self._listening, timeout=READY_SECONDS, what="the start of the outside")

    def stop(self) -> None:
        """Take it away."""
        self.namespaces.kill()
        bridge.remove_link(self.cable)

    def _listening(self) -> bool:
        if not self.namespaces.running():
            raise LabError(f"the outside stopped while it was starting: {self.namespaces.log_tail()}")
        sockets = self.namespaces.run(["ss", "-Hln"]).stdout
        return f"{self.service}:53" in sockets and f"{self.service}:{self.port}" in sockets
