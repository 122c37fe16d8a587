"""First process of the namespace that plays the internet: `python3 -m lab.outsideinit CONFIGURATION.json`.

It is the hosts' gateway. On an address of its own, which no host has a closer route to, it runs a DNS
server and an HTTP listener that answers with the address the request came from: a guest that gets an answer
has passed its host's NAT, and the answer says as whom.
"""

import http.server
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from lab import inside


class Answer(http.server.BaseHTTPRequestHandler):
    """Says who asked."""

    def do_GET(self) -> None:
        """Answer any path."""
        body = f"CLOUDSITE-OUTSIDE {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(configuration: Path) -> None:
    """Build the namespace, start the two servers, then reap children."""
    settings: dict[str, Any] = json.loads(configuration.read_text())
    socket.sethostname(settings["name"])
    inside.mount_system()
    inside.configure_network(address=settings["address"], gateway=None)
    inside.command("ip", "address", "add", f"{settings['service']}/32", "dev", "lo")
    inside.daemon(_dnsmasq(settings), log=settings["log"])
    _serve((settings["service"], settings["port"]))
    inside.reap_for_ever()


def _dnsmasq(settings: dict[str, Any]) -> list[str]:
    names = {settings["domain"]: settings["service"], **settings["hosts"]}
    return [
        "/usr/sbin/dnsmasq",
        "--no-resolv",
        "--no-hosts",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        f"--listen-address={settings['service']}",
        "--bind-interfaces",
        *(f"--address=/{name}/{address}" for name, address in names.items()),
        *(f"--local=/{name}/" for name in names),
    ]


def _serve(address: tuple[str, int]) -> None:
    """Serve HTTP in a child, bound before we go on."""
    server = http.server.ThreadingHTTPServer(address, Answer)
    if os.fork() == 0:
        server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
