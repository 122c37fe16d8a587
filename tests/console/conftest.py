"""A gateway and the door before it, each under a real uvicorn, over a host that the fake plays."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.sync.client import ClientConnection, connect

from tests.cloud import free_port
from tests.waiting import wait_for

PROTOCOL = "cloudsite.console.v1"


class Served(threading.Thread):
    """An ASGI application under uvicorn in a thread of this process."""

    def __init__(self, application: Any, **where: Any) -> None:
        super().__init__(daemon=True)
        config = uvicorn.Config(
            application, lifespan="off", log_level="warning", ws_max_size=65536, ws_per_message_deflate=False, **where
        )
        self.server = uvicorn.Server(config)

    def run(self) -> None:
        self.server.run()

    def end(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.join(10)


class Site:
    """The web port, as somebody uses it who wants a console."""

    def __init__(self, port: int, served: list[Served]) -> None:
        self.port = port
        self.served = served
        self.origin = f"http://127.0.0.1:{port}"

    @property
    def is_idle(self) -> bool:
        """Whether nobody is connected any more."""
        return not any(part.server.server_state.connections or part.server.server_state.tasks for part in self.served)

    def browser(self, user: Any) -> Any:
        from django.test import Client

        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    def ticket(self, client: Any, vm: Any, *, kind: str = "serial", **headers: str) -> str:
        path = f"/api/v1/vms/{vm.pk}/console/"
        answer = client.post(path, {"kind": kind}, content_type="application/json", headers=headers)
        assert answer.status_code == 201, answer.content
        assert answer.json()["path"] == f"/console/{vm.pk}/"
        return str(answer.json()["ticket"])

    def open(
        self, vm: Any, ticket: str, client: Any = None, *, origin: str | None = "", **more: Any
    ) -> ClientConnection:
        """Open the WebSocket as a page does, or (``origin=None``) as a program does."""
        headers: dict[str, str] = dict(more.pop("headers", {}))
        if client is not None:
            headers["Cookie"] = f"sessionid={client.cookies['sessionid'].value}"
        subprotocols: Any = [PROTOCOL, f"ticket.{ticket}"] if ticket else [PROTOCOL]
        return connect(
            f"ws://127.0.0.1:{self.port}/console/{vm.pk}/",
            origin=self.origin if origin == "" else origin,  # type: ignore[arg-type]
            subprotocols=more.pop("subprotocols", subprotocols),
            additional_headers=headers,
            compression=None,
            open_timeout=10,
            **more,
        )


@pytest.fixture
def no_static_files() -> None:
    """Browsers load the pages' scripts from the servers of these tests."""


@pytest.fixture
def site(transactional_db: None, own_state_dir: Path, installation: str, settings: Any) -> Iterator[Site]:
    from django.core.asgi import get_asgi_application

    from apps.compute.services.console import socket_path
    from cloudsite.consoles import Consoles
    from console.gateway import Gateway

    settings.HYPERVISOR = "fake"
    socket_path().parent.mkdir()
    port = free_port()
    served = [
        Served(Gateway(), uds=str(socket_path())),
        Served(Consoles(get_asgi_application()), host="127.0.0.1", port=port),
    ]
    for server in served:
        server.start()
    wait_for(lambda: all(server.server.started for server in served), seconds=10, what="the servers")
    yield Site(port, served)
    for server in served:
        server.end()


@pytest.fixture
def guest(site: Site, host: Any, image: Any) -> Callable[..., Any]:
    """A VM that runs on the fake host: ``guest(owner, "web-1")``."""
    from apps.compute.models import VM
    from workers.connections import connect as hypervisor_of

    def make(owner: Any, name: str) -> VM:
        values = {"image": image, "vcpus": 1, "memory_mib": 256, "disk_gib": 2, "phase": "ready", "power": "running"}
        vm = VM.objects.create(owner=owner, name=name, created_name=name, host=host, **values)
        hypervisor = hypervisor_of(host)
        hypervisor.ensure_defined(spec_of(vm))
        hypervisor.ensure_running(vm.pk)
        return vm

    return make


def spec_of(vm: Any) -> Any:
    from apps.hosts.selectors import installation_id
    from hypervisor.specs import CpuSpec, DomainMetadata, DomainSpec

    return DomainSpec(
        uuid=vm.pk,
        name=vm.libvirt_name,
        title=vm.name,
        vcpus=1,
        memory_mib=256,
        metadata=DomainMetadata(installation=installation_id(), fence=1),
        accelerator="tcg",
        cpu=CpuSpec(mode="maximum"),
    )


def said(socket: ClientConnection, wanted: bytes, *, seconds: float = 10) -> bytes:
    """What the console says, until it has said this."""
    heard = b""
    while wanted not in heard:
        piece = socket.recv(timeout=seconds)
        heard += piece if isinstance(piece, bytes) else b""
    return heard


def closed(socket: ClientConnection, *, seconds: float = 10) -> tuple[int, str]:
    """The close code and the reason, once they come."""
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            socket.recv(timeout=seconds)
    except ConnectionClosed as end:
        assert end.rcvd is not None
        return end.rcvd.code, end.rcvd.reason
