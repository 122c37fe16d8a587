"""Fixtures of all tests: people, a host that the fake hypervisor plays, an image, and clients.

PostgreSQL and Redis are real and come from the surroundings (``make test``); each parallel test process has
databases of its own in both.
"""

import functools
import gc
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = [
    "lab.pytest_plugin",
    "tests.processes",
    "tests.cloud",
    "tests.vendor",
    "tests.interruption",
    "tests.quick_flush",
]


def pytest_configure() -> None:
    """Collecting makes millions of objects that all stay: no search for garbage among them, then or later."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def own_state_dir(settings: Any, tmp_path: Path, static_root: Path) -> Path:
    """A state directory of the test's own."""
    settings.STATE_DIR = tmp_path
    settings.STATIC_ROOT = static_root
    return tmp_path


@pytest.fixture(scope="session")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory, since whitenoise warns where there is none."""
    return tmp_path_factory.mktemp("static")


@pytest.fixture(autouse=True)
def no_static_files(settings: Any) -> None:
    """Every client of a test makes the middleware anew, and WhiteNoise would list all static files each time."""
    settings.WHITENOISE_USE_FINDERS = False


@pytest.fixture(autouse=True)
def known_host(settings: Any) -> None:
    """Django's test client is called testserver, and sends no Host header."""
    settings.KNOWN_HOSTS = ["", "testserver"]


@pytest.fixture
def without_trash(settings: Any) -> None:
    """An installation whose trash is switched off: a deleted VM is deleted at once."""
    settings.TRASH_HOURS = 0


@pytest.fixture(autouse=True)
def clean_cache(request: pytest.FixtureRequest) -> None:
    """No throttle or token epoch of another test."""
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        from django.core.cache import cache

        cache.clear()


@pytest.fixture
def make_user(db: None, settings: Any) -> Callable[..., Any]:
    """Make a person: ``make_user("ada", role="viewer")``."""
    from apps.accounts.models import User

    def make(username: str, *, role: str = "member", password: str = "correct horse battery") -> User:
        user = User(username=username, role=role, password=hashed(password, settings.PASSWORD_HASHERS[0]))
        user.save()
        return user

    return make


@functools.cache
def hashed(password: str, hasher: str) -> str:
    """Argon2 is slow on purpose; the same password is hashed once for all tests that use the same hasher."""
    from django.contrib.auth.hashers import make_password

    return make_password(password)


@pytest.fixture
def admin(make_user: Callable[..., Any]) -> Any:
    user = make_user("admin", role="admin")
    user.is_staff = user.is_superuser = True
    user.save()
    return user


@pytest.fixture
def member(make_user: Callable[..., Any]) -> Any:
    return make_user("member")


@pytest.fixture
def other(make_user: Callable[..., Any]) -> Any:
    """A second, plain user, who must see nothing of the first one's."""
    return make_user("other")


@pytest.fixture
def viewer(make_user: Callable[..., Any]) -> Any:
    return make_user("viewer", role="viewer")


@pytest.fixture
def installation(db: None) -> str:
    from apps.hosts.services import installation_ensure

    return installation_ensure()


@pytest.fixture
def make_host(installation: str) -> Callable[..., Any]:
    """A host as it is after a probe: up, with room."""
    from apps.hosts.models import Host
    from apps.hosts.services import host_set_limits

    def make(name: str = "h1", *, cpus: int = 8, memory_mib: int = 16384, disk_gib: int = 500, **more: Any) -> Host:
        values = {
            "transport": "tls",
            "address": f"{name}.example",
            "status": "up",
            "cpus": cpus,
            "memory_mib": memory_mib,
            "pool_total_gib": disk_gib,
            "pool_free_gib": disk_gib,
            "architectures": ["x86_64"],
            "accelerator": "tcg",
            "accelerator_proven": True,
        }
        host = Host(name=name, **{**values, **more})
        host_set_limits(host)
        host.save()
        return host

    return make


@pytest.fixture
def host(make_host: Callable[..., Any]) -> Any:
    return make_host()


@pytest.fixture
def image(db: None, own_state_dir: Path) -> Any:
    """An image without cloud-init, whose file is small and really there."""
    from apps.storage.models import Image
    from apps.storage.selectors import image_path

    content = b"QFI\xfb" + bytes(65532)
    record = Image.objects.create(
        name="tiny",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        virtual_size_bytes=2**30,
        cloud_init=False,
    )
    image_path(record).parent.mkdir(parents=True, exist_ok=True)
    image_path(record).write_bytes(content)
    return record


@pytest.fixture
def api_for() -> Callable[[Any], Any]:
    """A DRF client signed in as a person by a session, or not at all."""
    from rest_framework.test import APIClient

    def make(user: Any) -> APIClient:
        client = APIClient()
        if user is not None:
            client.force_authenticate(user)
        return client

    return make
