"""``make service``: the same processes as hardened systemd units, so that they come back after a reboot."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bootstrap import images, libvirtd, machine, packages, postgres, preflight, process_table, supervisor
from bootstrap.commands import CommandFailed, as_root, run
from bootstrap.console import say, step
from bootstrap.errors import BootstrapError
from bootstrap.installation import ONE_SHOTS, later_root_tasks, prepare_servers, run_django, surroundings
from bootstrap.process_table import Surroundings
from bootstrap.root_tasks import enter_new_groups, prepare_machine
from bootstrap.settings import CODE_DIR, Settings, load, remember_installation
from bootstrap.supervisor import ProcessSpec
from bootstrap.waiting import wait_until
from bootstrap.where_to_go import where_to_go

TEMPLATES = CODE_DIR / "deploy" / "systemd"
UNIT_DIR = Path("/etc/systemd/system")
DEFAULT_STATE_DIR = Path("/var/lib/cloudsite")
SECONDS = 120.0
WORST_EXPOSURE = 35
"""Tenths of systemd's exposure level (0 to 10) that a unit may have at most."""
AT_BOOT = ("migrate", "collectstatic")


def prefix(settings: Settings) -> str:
    """How the units are called: a second installation has its directory's name in them."""
    if settings.state_dir == DEFAULT_STATE_DIR:
        return "cloudsite"
    return "cloudsite-" + re.sub(r"[^a-z0-9]+", "-", settings.state_dir.name.lower()).strip("-")


def start(arguments: Sequence[str]) -> int:
    """The command: prepare as ``make run`` does, write the units, verify them, enable them where systemd runs."""
    if "--yes" in arguments:
        os.environ["CLOUDSITE_YES"] = "1"
    settings = load()
    refuse_if_unsuitable(settings)
    name = prefix(settings)
    also = [f"write systemd units {name}*.service and {name}.target, and enable them where systemd runs"]
    prepare_machine(packages.RUNTIME, purpose="install the service", also=[*later_root_tasks(settings), *also])
    enter_new_groups(["service", *arguments])
    around = surroundings(settings)
    prepare_servers(around)
    with tempfile.TemporaryDirectory(prefix="cloudsite-units-") as scratch:
        units = write_units(around, Path(scratch))
        with step(f"Verifying {len(units)} systemd units"):
            verify(units)
        if not libvirtd.has_systemd():
            kept = keep(units, settings)
            say(f"The units are correct and lie in {kept}; systemd does not run here, so they are not enabled.")
            return 0
        install(units)
    bring_up(around, name)
    return 0


def refuse_if_unsuitable(settings: Settings) -> None:
    """:raises BootstrapError: for what makes a service impossible here."""
    if supervisor.is_locked(settings.pid_dir):
        raise BootstrapError(supervisor.already_running(settings.pid_dir, settings.state_dir))
    if Path("/tmp") in settings.state_dir.parents and libvirtd.has_systemd():  # noqa: S108 - refused, not used
        raise BootstrapError(f"{settings.state_dir} is emptied at a reboot; name another CLOUDSITE_STATE_DIR.")
    found = [*preflight.wrong_system(settings), *preflight.no_root(settings), *preflight.long_socket_paths(settings)]
    found += [*preflight.unusable_state_dir(settings), *preflight.too_little_space(settings)]
    if found:
        raise BootstrapError("\n".join(found))


def write_units(around: Surroundings, directory: Path) -> list[Path]:
    """Fill the templates in; the commands are the ones the supervisor would start."""
    settings = around.settings
    specs = [*process_table.servers(around), *process_table.web(around), *process_table.background(around)]
    specs.append(process_table.agent(around))
    commands = {spec.name: spec.command for spec in specs}
    boot = [list(command) for command in ONE_SHOTS if command[0] in AT_BOOT]
    commands["setup"] = [around.python, "-m", "bootstrap.django_commands", json.dumps(boot)]
    name = prefix(settings)
    values = placeholders(around, name)
    units = []
    for process, command in commands.items():
        template = (TEMPLATES / f"{process}.service").read_text()
        hardening = (TEMPLATES / "hardening.conf").read_text().rstrip()
        text = template.replace("@HARDENING@", hardening)
        restart = "no" if process == "setup" else "on-failure"
        extra = {"COMMAND": " ".join(quote(word) for word in command), "RESTART": restart}
        units.append(_write(directory / f"{name}-{process}.service", text, values | extra))
    listed = " ".join(unit.name for unit in units)
    target = (TEMPLATES / "cloudsite.target").read_text()
    return [*units, _write(directory / f"{name}.target", target, values | {"UNITS": listed})]


def placeholders(around: Surroundings, name: str) -> dict[str, str]:
    settings = around.settings
    at_home = any(Path(base) in (settings.state_dir / "x").parents for base in ("/home", "/root", "/run/user"))
    code_at_home = any(Path(base) in (around.code_dir / "x").parents for base in ("/home", "/root"))
    writable = (
        settings.run_dir,
        settings.images_dir,
        settings.pki_dir,
        settings.agent_dir,
        settings.state_dir / "keys",
        settings.state_dir / "static",
    )
    return {
        "PREFIX": name,
        "USER": around.identity.name,
        "GROUP": str(around.identity.gid),
        "STATE_DIR": str(settings.state_dir),
        "CODE_DIR": str(around.code_dir),
        "WRITABLE": " ".join(str(path) for path in writable),
        "PROTECT_HOME": "read-only" if at_home or code_at_home else "yes",
        "LIBVIRT_GROUP": "libvirt",
    }


def _write(path: Path, text: str, values: Mapping[str, str]) -> Path:
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    left = re.findall(r"@[A-Z_]{3,}@", text)
    if left:
        raise BootstrapError(f"{path.name}: nothing is known to put in for {', '.join(left)}")
    path.write_text(text)
    return path


def quote(word: str) -> str:
    """One word of a command as systemd reads it."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return plain if re.fullmatch(r"[\w@%+=:,./-]+", plain) else f'"{plain}"'


def environment_file(around: Surroundings) -> str:
    """What the processes need beyond systemd's own environment: what we set and what the user set of ours."""
    wanted = {
        name: value
        for name, value in around.environment.items()
        if name.startswith("CLOUDSITE_") or name in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "PATH")
    }
    wanted |= {"HOME": around.environment["HOME"], "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    wanted.pop("CLOUDSITE_ADMIN_PASSWORD", None)
    wanted.pop("CLOUDSITE_YES", None)
    escaped = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in sorted(wanted.items())}
    return "".join(f'{name}="{value}"\n' for name, value in escaped.items())


def verify(units: Sequence[Path]) -> None:
    """:raises BootstrapError: when systemd finds something wrong with a unit, or one is too exposed."""
    if shutil.which("systemd-analyze") is None:
        say("    systemd-analyze is not installed here, so the units are not verified.")
        return
    names = [str(unit) for unit in units]
    try:
        output = run(["systemd-analyze", "verify", "--man=no", *names], timeout=SECONDS).stdout
        complaints = [line for line in output.splitlines() if "cloudsite" in line]
        if complaints:
            raise BootstrapError("\n".join(complaints))
        for name in (name for name in names if name.endswith(".service")):
            analysis = ["systemd-analyze", "security", "--offline=yes", "--no-pager"]
            run([*analysis, f"--threshold={WORST_EXPOSURE}", name], timeout=SECONDS)
    except CommandFailed as error:
        raise BootstrapError(f"The systemd units are not correct.\n{error}") from error


def keep(units: Sequence[Path], settings: Settings) -> Path:
    target = settings.state_dir / "systemd"
    target.mkdir(exist_ok=True)
    for unit in units:
        shutil.copy(unit, target)
    return target


def install(units: Sequence[Path]) -> None:
    run(as_root(["install", "-m", "644", *(str(unit) for unit in units), str(UNIT_DIR)]), timeout=SECONDS)
    machine.add(units=[unit.name for unit in units])
    run(as_root(["systemctl", "daemon-reload"]), timeout=SECONDS)


def bring_up(around: Surroundings, name: str) -> None:
    """Start the servers, do the one-shots here (the admin's password is shown once, not logged), then the rest."""
    settings = around.settings
    write_environment(around)
    servers = [f"{name}-{spec.name}.service" for spec in process_table.servers(around)]
    with step("Starting PostgreSQL and Redis"):
        if servers:
            run(as_root(["systemctl", "restart", *servers]), timeout=SECONDS)
        wait_for(process_table.servers(around))
        if settings.database_url is None:
            postgres.ensure_database(settings.run_dir, identity=around.identity)
    libvirtd.ensure(around.identity)
    if not images.has_probe(settings):
        with step("Preparing the kernel that proves a host's accelerator") as detail:
            images.build_probe(around, on_line=detail)
    with step("Preparing the database, the pages and the certificates"):
        printed = run_django(around, ONE_SHOTS)
    remember_installation(settings, printed["installation"])
    with step("Enabling and starting the service"):
        run(as_root(["systemctl", "enable", "--now", f"{name}.target"]), timeout=SECONDS)
        wait_for(process_table.web(around))
    if settings.image == "on":
        with step("Making the image debian-12 ready"):
            images.ensure_image(around, lambda commands: run_django(around, commands))
    say("\nCloudsite runs as a service.\n" + where_to_go(settings, admin=printed["ensure_admin"], service=name))


def write_environment(around: Surroundings) -> None:
    """Readable by root alone: systemd reads it before it drops its rights."""
    path = around.settings.state_dir / "service.env"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(environment_file(around))


def wait_for(specs: Sequence[ProcessSpec]) -> None:
    for spec in specs:
        if spec.ready is not None and not wait_until(spec.ready, timeout=spec.ready_seconds):
            raise BootstrapError(f"{spec.name} did not start; `journalctl -u 'cloudsite*'` says why.")
