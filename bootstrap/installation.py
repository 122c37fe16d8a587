"""``make run``: from the checkout to a running installation, and back down again."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from bootstrap import accounts, codedir, images, libvirtd, machine, packages, postgres, preflight, process_table, venv
from bootstrap.accounts import Identity
from bootstrap.commands import is_root, run
from bootstrap.console import say, step, warn
from bootstrap.errors import BootstrapError
from bootstrap.process_table import Surroundings
from bootstrap.root_tasks import enter_new_groups, prepare_machine
from bootstrap.settings import CODE_DIR, Settings, load, load_secrets, process_environment, remember_installation
from bootstrap.supervisor import ProcessSpec, Supervisor
from bootstrap.where_to_go import where_to_go

REQUIREMENTS = CODE_DIR / "requirements" / "base.txt"
DJANGO_SECONDS = 600.0
READY_SECONDS = 60.0
IMAGE_STOP_SECONDS = 30.0
"""A build that is stopped takes its mounts away first."""
ONE_SHOTS = (
    ("migrate", "--noinput", "--verbosity", "0"),
    ("collectstatic", "--noinput", "--verbosity", "0"),
    ("ensure_admin",),
    ("ensure_certificates",),
    ("ensure_policies",),
    ("forget_heartbeats",),
    ("ensure_local_host",),
    ("ensure_local_agent",),
)


def start(arguments: Sequence[str]) -> int:
    """The command: check, ask, prepare, start, and stay until Ctrl-C."""
    if "--yes" in arguments:
        os.environ["CLOUDSITE_YES"] = "1"
    settings = load()
    problems = preflight.problems(settings)
    if problems:
        warn("Cloudsite cannot start here yet:")
        for sentence in problems:
            warn(f"  - {sentence}")
        return 1
    prepare_machine(packages.RUNTIME, purpose="run Cloudsite", also=later_root_tasks(settings))
    enter_new_groups(["run", *arguments])
    supervisor = Supervisor(pid_dir=settings.pid_dir, log_dir=settings.log_dir, state_dir=settings.state_dir)
    try:
        with supervisor:
            _Start(settings, supervisor).run()
    except KeyboardInterrupt:
        say("Stopped. libvirtd and the virtual machines run on; `make run` starts Cloudsite again.")
    return 0


def later_root_tasks(settings: Settings) -> list[str]:
    """What root does after the packages, for the same preview."""
    sentences = []
    if is_root() and not settings.state_dir.exists():
        sentences.append(f"make the state directory {settings.state_dir}")
    if packages.missing(["libvirt-daemon-system"]) or not libvirtd.runs():
        sentences.append("start libvirtd and leave it running")
    if libvirtd.kvm_is_closed():
        sentences.append(libvirtd.KVM_IS_OPENED)
    if settings.image == "on" and not images.image_record(settings).exists():
        sentences.append("fetch or build the image debian-12 (about two minutes, cached afterwards)")
    return sentences


def make_directories(settings: Settings, identity: Identity) -> None:
    """Root keeps what root acts on; the service user owns only what its processes write."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    settings.state_dir.chmod(0o755)
    roots = (
        settings.log_dir,
        settings.pid_dir,
        settings.cache_dir,
        settings.state_dir / "bin",
    )
    for directory in roots:
        directory.mkdir(exist_ok=True, mode=0o755)
    readable = (settings.images_dir, settings.state_dir / "static")
    private = (
        settings.postgres_dir,
        settings.redis_dir,
        settings.pki_dir,
        settings.agent_dir,
        settings.state_dir / "keys",
    )
    modes = {settings.run_dir: 0o750, **dict.fromkeys(readable, 0o755), **dict.fromkeys(private, 0o700)}
    for directory, mode in modes.items():
        directory.mkdir(exist_ok=True)
        directory.chmod(mode)
        if is_root() and directory.stat().st_uid != identity.uid:
            os.chown(directory, identity.uid, identity.gid)


def surroundings(settings: Settings) -> Surroundings:
    """Everything on disk that the processes need, made or brought up to date."""
    identity = accounts.service_identity()
    make_directories(settings, identity)
    machine.add(installations=[str(settings.state_dir)])
    venv.ensure(settings.venv_dir, REQUIREMENTS)
    environment = process_environment(settings, load_secrets(settings))
    environment |= {
        "HOME": identity.home if not is_root() else str(settings.state_dir),
        "USER": identity.name,
    }
    return Surroundings(
        settings=settings,
        code_dir=codedir.ensure(settings.state_dir / "app", identity),
        environment=environment,
        identity=identity,
    )


def run_django(around: Surroundings, commands: Sequence[Sequence[str]]) -> Mapping[str, str]:
    """Management commands in one process as the service user; the value is what each printed.

    :raises BootstrapError: with the end of the output.
    """
    arguments = [
        around.python,
        "-m",
        "bootstrap.django_commands",
        json.dumps([list(item) for item in commands]),
    ]
    result = run(
        arguments,
        timeout=DJANGO_SECONDS,
        env=around.environment,
        cwd=around.code_dir,
        identity=around.identity,
    )
    values: dict[str, str] = json.loads(result.stdout.strip().splitlines()[-1])
    return values


def prepare_servers(around: Surroundings) -> None:
    """Make the private database's files; who may connect is written at every start."""
    settings = around.settings
    if settings.database_url is None:
        users = sorted({"root", around.identity.name})
        with step("Preparing PostgreSQL"):
            data = settings.postgres_dir / "data"
            postgres.initialise(data, identity=around.identity, system_users=users)


class _Start:
    """One start, step by step; later steps need what earlier ones found out."""

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self._settings = settings
        self._supervisor = supervisor

    def run(self) -> None:
        around = surroundings(self._settings)
        prepare_servers(around)
        self._start_all("Starting PostgreSQL and Redis", process_table.servers(around))
        if self._settings.database_url is None:
            postgres.ensure_database(self._settings.run_dir, identity=around.identity)
        libvirtd.ensure(around.identity)
        self._probe_kernel(around)
        with step("Preparing the database, the pages and the certificates"):
            printed = run_django(around, ONE_SHOTS)
        remember_installation(self._settings, printed["installation"])
        self._start_all("Starting the dashboard and the API", process_table.web(around))
        self._start_all("Starting the workers", process_table.background(around))
        if process_table.measures_itself(self._settings):
            self._start_all("Starting the agent of this machine", [process_table.agent(around)])
        self._finish(around, printed["ensure_admin"])

    def _start_all(self, title: str, specs: Sequence[ProcessSpec]) -> None:
        with step(title):
            for spec in specs:
                self._supervisor.start(spec)

    def _probe_kernel(self, around: Surroundings) -> None:
        if not images.has_probe(self._settings):
            with step("Preparing the kernel that proves a host's accelerator") as detail:
                images.build_probe(around, on_line=detail)

    def _finish(self, around: Surroundings, admin: str) -> None:
        settings = self._settings
        self._await_ready()
        if settings.image == "off":
            self._ready(admin)
        elif images.image_record(settings).exists():
            self._start_image(lambda: self._ready(admin))
        else:
            say("\nThe dashboard is up; the image debian-12 is being made ready in the background.")
            say(where_to_go(settings, admin=admin))
            self._start_image(lambda: self._ready(""))
        self._supervisor.watch()

    def _await_ready(self) -> None:
        """Until ``/readyz`` is content, for a limited time, looking after the processes meanwhile."""
        settings = self._settings
        deadline = time.monotonic() + READY_SECONDS
        content = False

        def decided() -> bool:
            nonlocal content
            content = process_table.answers(settings.bind, settings.port, status=200)
            return content or time.monotonic() > deadline

        with step("Waiting until every part reports that it is ready"):
            self._supervisor.watch(until=decided)
        if not content:
            say("The dashboard answers, but /readyz is not content yet; `make logs` says why.")

    def _ready(self, admin: str) -> None:
        say("\nCloudsite is ready.\n" + where_to_go(self._settings, admin=admin))

    def _start_image(self, then: Callable[[], None]) -> None:
        """The image is made ready beside the running dashboard."""

        def finished(status: int) -> None:
            if status != 0:
                say("The image debian-12 is not ready (the lines above say why); the next start tries again.")
            then()

        self._supervisor.start(
            ProcessSpec(
                name="image",
                command=[str(venv.PYTHON), "-m", "bootstrap", "image"],
                environment=os.environ | {"CLOUDSITE_STATE_DIR": str(self._settings.state_dir)},
                directory=CODE_DIR,
                stop_seconds=IMAGE_STOP_SECONDS,
                echo=True,
                on_exit=finished,
            )
        )


def manage(arguments: Sequence[str]) -> int:
    """One management command with the installation's settings; its servers have to run."""
    around = restore()
    command = [around.python, "manage.py", *arguments]
    drop = around.identity.popen_arguments() if is_root() else {}
    return subprocess.run(command, env=around.environment, cwd=around.code_dir, check=False, **drop).returncode


def environment_if_any() -> dict[str, str]:
    """The settings of the installation in the state directory, for tools that speak to it; else nothing."""
    settings = load()
    if not settings.secrets_file.exists():
        return {}
    ours = process_environment(settings, load_secrets(settings))
    names = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    return {name: value for name, value in ours.items() if name.startswith("CLOUDSITE_") or name in names}


def restore() -> Surroundings:
    """The surroundings of an installation that exists already, e.g. for one management command."""
    settings = load()
    if not (settings.venv_dir / venv.STAMP).exists():
        raise BootstrapError(f"There is no installation in {settings.state_dir}; `make run` makes it.")
    return surroundings(settings)
