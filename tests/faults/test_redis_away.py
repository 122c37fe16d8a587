"""Redis stops and comes back: wishes are accepted meanwhile, at once, and carried out afterwards."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from apps.operations import doorbell
from apps.operations.models import Operation
from apps.operations.services import operation_create
from bootstrap.redis import command, is_ready
from tests.operations.conftest import Thing
from tests.waiting import wait_for


class OwnRedis:
    """A server of this test alone."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "own-redis.sock"
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def start(self) -> None:
        self.process = subprocess.Popen(
            command(self.directory, self.socket, links=self.directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self.answers, seconds=10, what="Redis")

    def answers(self) -> bool:
        return is_ready(self.socket)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=10)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def no_bell_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let this process believe that Redis is somewhere else."""

    def point_at(url: str) -> None:
        client = redis.Redis.from_url(
            url, socket_timeout=doorbell.LOOK_TIMEOUT, socket_connect_timeout=doorbell.LOOK_TIMEOUT
        )
        monkeypatch.setattr(doorbell, "_redis", lambda: client)
        monkeypatch.setattr(doorbell, "_silent_until", 0.0)

    return point_at


def test_operations_wait_for_redis_and_are_done_when_it_is_back(
    cloud: Any, own_redis: OwnRedis, no_bell_for: Callable[[str], None]
) -> None:
    cloud.processes.environment["REDIS_URL"] = own_redis.url
    no_bell_for(own_redis.url)
    worker = cloud.worker()
    cloud.wait(cloud.create("before")[1])
    own_redis.stop()
    wait_for(lambda: not own_redis.answers(), seconds=10, what="Redis to be gone")
    meanwhile = [cloud.create(f"meanwhile-{number}")[1] for number in range(3)]
    own_redis.start()

    def done() -> bool:
        """Celery gives up where it loses its broker in the middle of something; a supervisor starts it again."""
        nonlocal worker
        if worker.poll() is not None:
            worker = cloud.worker()
        return not Operation.objects.filter(pk__in=[item.pk for item in meanwhile]).exclude(status="succeeded").exists()

    wait_for(done, seconds=90, every=0.5, what="what was wished for meanwhile")


@pytest.mark.django_db(transaction=True)
class TestWish:
    """What a person notices of a broker that is away: nothing."""

    @pytest.fixture(
        params=[
            "unix:///nonexistent/redis.sock?db=0",
            "redis://127.0.0.1:1/0",
        ],
        ids=["no socket", "refused"],
    )
    def away(self, request: pytest.FixtureRequest, no_bell_for: Callable[[str], None]) -> None:
        no_bell_for(request.param)

    def wish_for(self, many: int, monkeypatch: pytest.MonkeyPatch) -> int:
        """Wish so often within the pause after the first bell. Returns how often Redis was waited for."""
        looks, client = [], doorbell._redis()

        def look() -> redis.Redis:
            looks.append(None)
            return client

        monkeypatch.setattr(doorbell, "_redis", look)
        monkeypatch.setattr(doorbell, "PAUSE_SECONDS", 3600.0)
        for _ in range(many):
            operation_create(kind="thing.do", target_type="thing", target=Thing(), actor=None)
        return len(looks)

    def test_is_accepted_and_one_bell_is_tried(self, away: None, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.wish_for(10, monkeypatch) == 1
        assert Operation.objects.count() == 10

    def test_one_bell_waits_for_one_that_hangs(
        self, own_redis: OwnRedis, no_bell_for: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        no_bell_for(own_redis.url)
        assert own_redis.process is not None
        own_redis.process.send_signal(signal.SIGSTOP)
        assert self.wish_for(10, monkeypatch) == 1
        assert Operation.objects.count() == 10
        own_redis.process.send_signal(signal.SIGCONT)
