"""``make fresh``: both commands on a bare Debian 12, made for the purpose and thrown away.

What the machine needs to reach its package sources (apt's sources and options, pip's settings, certificates,
the proxy) is handed in at run time; nothing of it is in the repository.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bootstrap import packages
from bootstrap.commands import PASSED_THROUGH_SUDO, PROXY_VARIABLES, is_root, passthrough, run
from bootstrap.console import say, step
from bootstrap.errors import BootstrapError
from bootstrap.fresh_network import Network, network
from bootstrap.root_tasks import prepare_machine
from bootstrap.settings import CODE_DIR
from imagebuild.sources import debian_sources

BARE = ("git", "make", "python3", "ca-certificates", "sudo")
CODENAME = "bookworm"
ROOT_SECONDS = 900.0
RUN_SECONDS = 2700.0
TEST_SECONDS = 2700.0
CERTIFICATES = Path("/usr/local/share/ca-certificates")
PIP_FILES = (Path("/etc/pip.conf"), Path("~/.config/pip/pip.conf"), Path("~/.pip/pip.conf"))
CHECKOUT = "/srv/cloudsite"
WALKER = "walker"
"""A user with sudo, for the start that is not made by root."""
SCRIPT = r"""
set -eu
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx" 2>/dev/null || true
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
# a device that nobody may open, not /dev/null: libvirt would believe in KVM and try it before every define
if [ -e /dev/kvm ] && [ "${FRESH_KVM:-0}" != 1 ]; then
    mknod -m 000 "$root/run/no-kvm" c 1 3; mount --bind "$root/run/no-kvm" "$root/dev/kvm"
fi
mkdir -p "$root/run/lock"; chmod 1777 "$root/run/lock"
for directory in ${FRESH_BINDS:-}; do
    mkdir -p "$root$directory"; mount --bind "$directory" "$root$directory"
done
ip link set lo up
hostname fresh
# a real root, not chroot's: whoever enters a namespace made in here must not come out in the outer machine
mkdir -p "$root/.outside"
cd "$root"
pivot_root . .outside
cd /
umount -l /.outside
rmdir /.outside
# this shell stays process 1 of the namespace and reaps what daemons leave behind
"$@"
status=$?
exit $status
"""


def start(arguments: Sequence[str]) -> int:
    """Build the root, clone the checkout's last commit into it, and run what was asked for.

    Words: ``run`` and ``test`` (both without a word), ``user`` (``run`` as a user with sudo), ``--keep``.
    """
    if not is_root():
        raise BootstrapError("`make fresh` makes namespaces and loop devices; run it as root.")
    wanted = [word for word in arguments if not word.startswith("-")] or ["run", "user", "test"]
    prepare_machine(packages.DEVELOPMENT, purpose="make a bare Debian 12")
    results: dict[str, int] = {}
    for word in wanted:
        with bare_root(keep="--keep" in arguments) as root, network() as outside:
            say(f"==> {word} on a bare Debian 12 in {root}")
            results[word] = _in_root(root, outside, _command(word), timeout=max(RUN_SECONDS, TEST_SECONDS))
    for word, status in results.items():
        say(f"{'ok  ' if status == 0 else 'FAIL'} fresh {word}")
    return max(results.values())


def _command(word: str) -> list[str]:
    smoke = [f"{CHECKOUT}/bootstrap/fresh_smoke.py", CHECKOUT]
    commands = {
        "run": ["/usr/bin/python3", *smoke],
        "user": ["/usr/bin/python3", *smoke, WALKER],
        "test": ["make", "-C", CHECKOUT, "test"],
    }
    if word not in commands:
        raise BootstrapError(f"`make fresh` knows {', '.join(commands)}; not {word!r}.")
    return commands[word]


@contextmanager
def bare_root(*, keep: bool) -> Iterator[Path]:
    """A Debian with git, make, Python and sudo, and the clone; removed afterwards unless it is to be kept."""
    base = Path(tempfile.mkdtemp(prefix="cloudsite-fresh-", dir=os.environ.get("TMPDIR", "/var/tmp")))  # noqa: S108
    base.chmod(0o755)
    root = base / "root"
    try:
        with step("Building a bare Debian 12") as detail:
            _mmdebstrap(root, detail)
            _settings_from_outside(root)
            clone = ["git", "-c", "safe.directory=*", "clone", "-q", "--no-hardlinks", str(CODE_DIR)]
            run([*clone, f"{root}{CHECKOUT}"], timeout=120)
        yield root
    finally:
        if keep:
            say(f"Kept {root}")
        else:
            shutil.rmtree(base, ignore_errors=True)


def _mmdebstrap(root: Path, detail: object) -> None:
    lines = [source.line() for source in debian_sources(codename=CODENAME)]
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(BARE)}"]
    command += [f"--aptopt={option}" for option in _apt_options()]
    run(
        [*command, CODENAME, str(root), *lines],
        timeout=ROOT_SECONDS,
        on_line=detail if callable(detail) else None,
    )


def _apt_options() -> list[str]:
    """How this machine's apt fetches: proxies, retries, checks of dates."""
    lines = run(["apt-config", "dump", "Acquire"], timeout=20).stdout.splitlines()
    return [line for line in lines if '""' not in line and "IndexTargets" not in line and "{" not in line]


def _settings_from_outside(root: Path) -> None:
    """Name servers, certificate authorities and pip's settings of this machine, as an administrator would."""
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost fresh\n::1 localhost\n")
    (root / "etc" / "hostname").write_text("fresh\n")
    for certificate in CERTIFICATES.glob("*.crt"):
        target = root / CERTIFICATES.relative_to("/")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(certificate, target)
    run(["chroot", str(root), "update-ca-certificates"], timeout=60)
    for source in (path.expanduser() for path in PIP_FILES):
        if source.exists():
            shutil.copy(source, root / "etc" / "pip.conf")
            break


def _local_package_directories() -> list[str]:
    """Directories that pip's settings name on this machine; they have to be there inside as well."""
    texts = [path.expanduser().read_text() for path in PIP_FILES if path.expanduser().exists()]
    texts += [value for name, value in os.environ.items() if name.startswith("PIP_")]
    words = [word.removeprefix("file://") for text in texts for word in text.split()]
    return sorted({word for word in words if word.startswith("/") and Path(word).is_dir()})


def _in_root(root: Path, outside: Network, command: Sequence[str], *, timeout: float) -> int:
    """Run in namespaces of its own; everything that was started in them dies with the last of them."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name.startswith(PASSED_THROUGH_SUDO) and not name.startswith("CLOUDSITE_"))
        or name.lower() in PROXY_VARIABLES
        or name == "CI"
    }
    environment = kept | {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "FRESH_KVM": os.environ.get("CLOUDSITE_FRESH_KVM", "0"),
        "FRESH_BINDS": " ".join(_local_package_directories()),
    }
    unshare = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
    with ExitStack() as stack:
        stack.callback(outside.forget)
        arguments = [*outside.enter(), *unshare, "bash", "-c", SCRIPT, "fresh", str(root), *command]
        return passthrough(arguments, timeout=timeout, env=environment, cwd=Path("/"))
