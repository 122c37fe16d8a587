"""`python3 -m lab up|down|status [--hosts N] [--prefix P] [--enrol URL]`.

With `--enrol` the hosts are added to the control plane at URL (and `down` takes them out first); the admin's
password comes from CLOUDSITE_ADMIN_PASSWORD or is asked for.
"""

import argparse
import getpass
import os
import sys

from lab.enrol import Api, enrol, withdraw
from lab.errors import LabError
from lab.laboratory import Lab, sweep


def main(argv: list[str] | None = None) -> int:
    """Do what was asked; a failure is one sentence and status 1."""
    arguments = _parser().parse_args(argv)
    try:
        lab = Lab(prefix=arguments.prefix, hosts=arguments.hosts, owned=False)
        return int(arguments.command(lab, arguments.enrol))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _api(url: str) -> Api:
    password = os.environ.get("CLOUDSITE_ADMIN_PASSWORD") or getpass.getpass(f"Password of admin at {url}: ")
    return Api(url, username="admin", password=password)


def _up(lab: Lab, url: str | None) -> int:
    api = _api(url) if url else None
    if not lab.attach():
        lab.up()
    if api is not None:
        enrol(api, lab)
    return _status(lab, url)


def _down(lab: Lab, url: str | None) -> int:
    if url and lab.attach():
        withdraw(_api(url), lab)
    lab.down()
    sweep()
    print(f"lab {lab.prefix}: gone")
    return 0


def _status(lab: Lab, _url: str | None) -> int:
    """Status 3, as init scripts have it, if the lab is not there."""
    if not lab.attach():
        print(f"lab {lab.prefix}: not up")
        return 3
    for host in lab.hosts:
        state = "up" if host.running() else "down"
        print(
            f"{host.name}  {state}  qemu+ssh://root@{host.address}/system"
            f"  root password {host.password}  host key {host.host_key_fingerprint()}"
        )
    print(f"outside  {lab.outside.url}  (DNS {lab.outside.service})")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command, text in (
        ("up", _up, "start the hosts"),
        ("down", _down, "take them away"),
        ("status", _status, "show them"),
    ):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("--hosts", type=int, default=2, help="how many (up)")
        sub.add_argument("--prefix", default="lab", help="tells labs on one machine apart")
        sub.add_argument("--enrol", metavar="URL", help="add them to (take them out of) the control plane at URL")
        sub.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
