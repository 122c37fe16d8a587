"""What would make the first start fail, found before anything is changed: one sentence each, all at once."""

from __future__ import annotations

import itertools
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bootstrap import accounts, packages, processes, supervisor, venv
from bootstrap.commands import CommandFailed, is_root, run
from bootstrap.settings import CODE_DIR, LONGEST_SOCKET_PATH, Settings

GIB = 1024**3
FREE_BYTES_FIRST = 8 * GIB
FREE_BYTES_LATER = 1 * GIB
OLDEST_PYTHON = (3, 11)
CONNECT_SECONDS = 6.0


def problems(settings: Settings) -> list[str]:
    """Everything that stands in the way of a start; empty when nothing does."""
    if supervisor.is_locked(settings.pid_dir):
        return [supervisor.already_running(settings.pid_dir, settings.state_dir)]
    checks: Sequence[Callable[[Settings], list[str]]] = (
        wrong_system,
        wrong_python,
        no_root,
        unusable_state_dir,
        too_little_space,
        long_socket_paths,
        ports_taken,
        unreadable_certificate,
        no_package_sources,
    )
    return [sentence for check in checks for sentence in check(settings)]


def wrong_system(_: Settings, *, release: Path = Path("/etc/os-release")) -> list[str]:
    found = []
    pairs = (line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
    values = {key: value.strip('"') for key, value in pairs}
    if (values.get("ID"), values.get("VERSION_ID")) != ("debian", "12"):
        name = values.get("PRETTY_NAME", "unknown")
        found.append(f"This system is {name}; Cloudsite installs on Debian 12 (bookworm).")
    if platform.machine() != "x86_64":
        found.append(f"This machine is {platform.machine()}; Cloudsite runs on x86_64.")
    return found


def wrong_python(_: Settings) -> list[str]:
    wanted = ".".join(str(part) for part in OLDEST_PYTHON)
    if not venv.PYTHON.exists():
        return [f"{venv.PYTHON} is missing; `apt-get install python3` brings it."]
    output = run([str(venv.PYTHON), "-c", "import sys; print(*sys.version_info[:2])"], timeout=20).stdout
    if tuple(int(part) for part in output.split()) < OLDEST_PYTHON:
        return [f"{venv.PYTHON} is Python {output.strip().replace(' ', '.')}; {wanted} or newer is needed."]
    return []


def root_is_needed() -> bool:
    """Whether anything is left for root to do before the processes can start."""
    name = accounts.SERVICE_USER if is_root() else accounts.invoking_user()
    return bool(packages.missing(packages.RUNTIME) or accounts.user_commands(name))


def no_root(_: Settings) -> list[str]:
    if is_root() or not root_is_needed():
        return []
    if shutil.which("sudo") is None:
        return ["You are not root and there is no sudo; run the command as root."]
    silent = run(["sudo", "-n", "true"], timeout=20, check=False)
    if silent.returncode != 0 and not sys.stdin.isatty():
        return ["sudo wants a password and there is no terminal to ask on; run it in a terminal or as root."]
    return []


def existing_parent(path: Path) -> Path:
    return path if path.exists() else existing_parent(path.parent)


def unusable_state_dir(settings: Settings) -> list[str]:
    parent = existing_parent(settings.state_dir)
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        return [f"{parent} cannot be written to; CLOUDSITE_STATE_DIR names another state directory."]
    if is_root():
        closed = [path for path in (parent, *parent.parents) if not path.stat().st_mode & 0o001]
        if closed:
            return [
                f"{closed[-1]} is closed to other users, so the service user cannot reach "
                f"{settings.state_dir}; CLOUDSITE_STATE_DIR names another state directory."
            ]
    return []


def too_little_space(settings: Settings) -> list[str]:
    parent = existing_parent(settings.state_dir)
    free = shutil.disk_usage(parent).free
    wanted = FREE_BYTES_LATER if any(settings.cache_dir.glob("*.qcow2")) else FREE_BYTES_FIRST
    if free >= wanted:
        return []
    return [f"{parent} has {free / GIB:.1f} GiB free; {wanted // GIB} GiB are needed."]


def long_socket_paths(settings: Settings) -> list[str]:
    longest = max(len(os.fsencode(path)) for path in settings.socket_paths())
    if longest <= LONGEST_SOCKET_PATH:
        return []
    return [
        f"A Unix socket below {settings.state_dir} would have a path of {longest} bytes, and Linux allows "
        f"{LONGEST_SOCKET_PATH}; CLOUDSITE_STATE_DIR names a shorter one."
    ]


def ports_taken(settings: Settings) -> list[str]:
    """Ports somebody else holds; our own processes without a supervisor are ended before the start."""
    if left_behind(settings):
        return []
    wanted = [(settings.bind, settings.port, "CLOUDSITE_PORT")]
    if settings.lan_open:
        wanted.append(("0.0.0.0", settings.lan_port, "CLOUDSITE_LAN_PORT"))  # noqa: S104 - the LAN is the point
    reached = "0.0.0.0" if settings.lan_open else "127.0.0.1"  # noqa: S104 - the LAN is the point
    wanted.append((reached, settings.ingest_port, "CLOUDSITE_INGEST_PORT"))
    found = []
    for address, port, name in wanted:
        reason = port_problem(address, port)
        if reason:
            found.append(f"Port {port} on {address} {reason}; {name} names another one.")
    for (_one, port, name), (_other, same, again) in itertools.combinations(wanted, 2):
        if port == same:
            found.append(f"{name} and {again} are the same; each needs a port of its own.")
    return found


def left_behind(settings: Settings) -> bool:
    records = (processes.read_pid_file(path) for path in settings.pid_dir.glob("*.pid"))
    return any(record is not None and processes.is_alive(record) for record in records)


def port_problem(address: str, port: int) -> str | None:
    """Why we cannot listen there, or nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except PermissionError:
            return "needs root"
        except OSError as error:
            return "is taken" if error.errno == 98 else f"cannot be used ({error.strerror})"
    return None


def unreadable_certificate(settings: Settings) -> list[str]:
    named = (("CLOUDSITE_TLS_CERT", settings.tls_cert), ("CLOUDSITE_TLS_KEY", settings.tls_key))
    given = [(name, path) for name, path in named if path is not None]
    found = [f"{name} names {path}, which is not there." for name, path in given if not path.is_file()]
    if is_root() and accounts.user_exists(accounts.SERVICE_USER):
        user = accounts.service_identity()
        for name, path in given:
            test = run(["test", "-r", str(path)], timeout=10, check=False, identity=user)
            if path.is_file() and test.returncode != 0:
                found.append(f"{name} names {path}, which the user {user.name} cannot read.")
    return found


def no_package_sources(settings: Settings) -> list[str]:
    """Only when something has to be fetched: no route at all, or the first Debian source does not answer."""
    requirements = CODE_DIR / "requirements" / "base.txt"
    current = venv.is_current(settings.venv_dir, requirements)
    if not packages.missing(packages.RUNTIME) and current:
        return []
    proxied = any(os.environ.get(name) for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"))
    if proxied or apt_has_proxy():
        return []
    if not has_route():
        return ["There is no route to a network, and packages have to be fetched for the first start."]
    return [] if not packages.missing(packages.RUNTIME) else unreachable_source()


def has_route(table: Path = Path("/proc/net/route"), table6: Path = Path("/proc/net/ipv6_route")) -> bool:
    """Whether a default route exists, for IPv4 or IPv6."""
    four = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    six = [line.split() for line in table6.read_text().splitlines()] if table6.exists() else []
    return any(row[1] == "00000000" and row[7] == "00000000" for row in four) or any(
        row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo" for row in six
    )


def apt_has_proxy() -> bool:
    output = run(["apt-config", "dump", "Acquire"], timeout=20, check=False).stdout
    return any("proxy" in line.lower() and not line.rstrip().endswith('"";') for line in output.splitlines())


def unreachable_source() -> list[str]:
    try:
        output = run(["apt-get", "indextargets", "--format", "$(SITE)"], timeout=30, check=False).stdout
    except (CommandFailed, subprocess.SubprocessError):
        return []
    sites = sorted({line for line in output.splitlines() if line.startswith(("http://", "https://"))})
    reasons = [reason for site in sites if (reason := _connect_problem(site)) is not None]
    if not sites or len(reasons) < len(sites):
        return []
    return [f"No Debian package source can be reached ({reasons[0]})."]


def _connect_problem(site: str) -> str | None:
    url = urlsplit(site)
    try:
        address = (url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
        socket.create_connection(address, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return f"{url.hostname}: {error}"
    return None
