"""While it is open: what ends it, how soon, with which reason; and clients that misbehave."""

import socket as sockets
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.console.conftest import Site, closed, said
from tests.waiting import wait_for

PROMISED_SECONDS = 5.0


@pytest.fixture
def opened(site: Site, guest: Any, member: Any) -> Any:
    """A console of ``member``, open: the VM, the browser and the socket."""
    vm, client = guest(member, "web-1"), site.browser(member)
    with site.open(vm, site.ticket(client, vm), client) as socket:
        said(socket, b"login: ")
        yield vm, client, socket


def fake(vm: Any) -> Any:
    from hypervisor.fake import FakeHost
    from workers.connections import fake_dir

    return FakeHost(fake_dir(), vm.host.name)


def sign_out(vm: Any, client: Any, user: Any) -> None:
    client.logout()


def new_password(vm: Any, client: Any, user: Any) -> None:
    user.set_password("another long password")
    user.save()


def deactivate(vm: Any, client: Any, user: Any) -> None:
    user.is_active = False
    user.save()


def make_viewer(vm: Any, client: Any, user: Any) -> None:
    user.role = "viewer"
    user.save()


def give_away(vm: Any, client: Any, user: Any) -> None:
    from apps.accounts.models import User

    vm.owner = User.objects.create(username="new-owner")
    vm.save()


def move(vm: Any, client: Any, user: Any) -> None:
    from apps.hosts.models import Host

    vm.host = Host.objects.create(name="h9", transport="tls", address="h9.example")
    vm.save()


def delete(vm: Any, client: Any, user: Any) -> None:
    vm.delete()


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (sign_out, 4401),
        (new_password, 4401),
        (deactivate, 4401),
        (make_viewer, 4403),
        (give_away, 4403),
        (move, 4412),
        (delete, 4404),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_lost_rights_end_it_in_time(opened: Any, member: Any, act: Any, code: int) -> None:
    vm, client, socket = opened
    started = time.monotonic()
    act(vm, client, member)
    got, reason = closed(socket, seconds=PROMISED_SECONDS * 2)
    assert (got, bool(reason)) == (code, True)
    assert time.monotonic() - started < PROMISED_SECONDS


def test_a_revoked_token_ends_it_in_time(site: Site, guest: Any, member: Any) -> None:
    from django.test import Client
    from django.utils import timezone

    from apps.accounts.models import TokenFamily
    from apps.accounts.services import token_issue

    vm, access = guest(member, "web-1"), token_issue(user=member, scope="full").access
    bearer = {"Authorization": f"Bearer {access}"}
    with site.open(vm, site.ticket(Client(), vm, **bearer), origin=None, headers=bearer) as socket:
        said(socket, b"login: ")
        started = time.monotonic()
        TokenFamily.objects.update(revoked_at=timezone.now())
        assert closed(socket)[0] == 4401
        assert time.monotonic() - started < PROMISED_SECONDS


def test_the_second_reader_takes_over(site: Site, opened: Any, admin: Any) -> None:
    vm, _client, socket = opened
    boss = site.browser(admin)
    with site.open(vm, site.ticket(boss, vm), boss) as second:
        said(second, b"login: ")
        assert closed(socket) == (4409, "The console was taken over by another session.")
        second.send(b"still mine")
        said(second, b"still mine")


def test_the_machine_is_switched_off(opened: Any) -> None:
    vm, _client, socket = opened
    fake(vm).stop_domain(vm.pk)
    assert closed(socket) == (4410, "The machine was switched off.")


def test_the_host_goes_away(opened: Any) -> None:
    vm, _client, socket = opened
    fake(vm).unplug()
    assert closed(socket)[0] == 4504


def test_a_machine_that_is_off_in_truth(site: Site, guest: Any, member: Any) -> None:
    """Our record still says running."""
    vm, client = guest(member, "web-1"), site.browser(member)
    fake(vm).stop_domain(vm.pk)
    with site.open(vm, site.ticket(client, vm), client) as socket:
        assert closed(socket)[0] == 4410


def test_a_host_known_to_be_away_is_not_called(site: Site, guest: Any, member: Any) -> None:
    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    vm.host.status = "unreachable"
    vm.host.save()
    with site.open(vm, ticket, client) as socket:
        assert closed(socket)[0] == 4504


def test_the_screen_is_a_stream_of_bytes(site: Site, guest: Any, member: Any) -> None:
    vm, client = guest(member, "web-1"), site.browser(member)
    vm.host.transport = "ssh"
    vm.host.host_key = "ssh-ed25519 AAAA"
    vm.host.save()
    with site.open(vm, site.ticket(client, vm, kind="vnc"), client) as socket:
        said(socket, b"RFB 003.008\n")
        socket.send(b"RFB 003.008\n")
        said(socket, b"RFB 003.008\n")


# --- clients that misbehave


def test_text_is_no_input(opened: Any) -> None:
    _vm, _client, socket = opened
    socket.send("a text")
    assert closed(socket)[0] == 4415


def test_a_large_frame_and_an_endless_message(site: Site, opened: Any) -> None:
    vm, client, socket = opened
    socket.send(b"x" * 70_000)
    assert closed(socket)[0] == 1009
    with site.open(vm, site.ticket(client, vm), client) as again:
        said(again, b"login: ")
        with pytest.raises(ConnectionClosed):
            again.send(b"x" * 1000 for _ in range(100_000))


def test_a_client_that_does_not_read_is_let_go_and_costs_little(
    site: Site, guest: Any, member: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its console floods; nothing is kept beyond the bounds, and the others do not notice."""
    from cloudsite import consoles
    from console import far_end, session

    monkeypatch.setattr(consoles, "SLOW_SECONDS", 2.0)
    monkeypatch.setattr(session, "SLOW_SECONDS", 1.0)
    monkeypatch.setattr(session, "BYTES_PER_SECOND", 2**40)
    vm, other_vm, client = guest(member, "web-1"), guest(member, "web-2"), site.browser(member)
    ends: list[Any] = []
    original = far_end.Serial.bind

    def bind(self: Any) -> None:
        ends.append(self)
        original(self)

    monkeypatch.setattr(far_end.Serial, "bind", bind)
    slow = sockets.create_connection(("127.0.0.1", site.port))
    slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    cookie, ticket = client.cookies["sessionid"].value, site.ticket(client, vm)
    slow.sendall(
        (
            f"GET /console/{vm.pk}/ HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nOrigin: {site.origin}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Sec-WebSocket-Protocol: cloudsite.console.v1, ticket.{ticket}\r\nCookie: sessionid={cookie}\r\n\r\n"
        ).encode()
    )
    wait_for(lambda: ends, seconds=10, what="the console")
    flooding = ends[0]
    with site.open(other_vm, site.ticket(client, other_vm), client) as quick:
        said(quick, b"login: ")
        for _ in range(200):
            flooding._arrived(b"x" * 65536)
        assert len(flooding._kept) <= far_end.MOST_KEPT

        def flood_until_let_go() -> bool:
            flooding._arrived(b"x" * 65536)
            return bool(flooding._console._over.is_set())

        wait_for(flood_until_let_go, seconds=15, what="the slow client to be let go")
        started = time.monotonic()
        quick.send(b"quick")
        said(quick, b"quick")
        assert time.monotonic() - started < 1.0
    slow.close()
    wait_for(lambda: site.is_idle, seconds=15, what="the end of the slow connection")


def test_what_a_flood_skipped_is_told(opened: Any, site: Site) -> None:
    """A number, not a silence."""
    import asyncio

    from console.far_end import MOST_KEPT, Serial

    async def flood() -> tuple[bytes, int]:
        end = Serial(lambda _sink: None)  # type: ignore[arg-type,return-value]
        end.bind()
        for _ in range(20):
            end._arrived(b"x" * 65536)
        return await end.read()

    piece, skipped = asyncio.run(flood())
    assert skipped == 20 * 65536 - MOST_KEPT
    assert piece


def test_too_many_at_once(site: Site, guest: Any, member: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from console import gateway

    monkeypatch.setattr(gateway, "MOST_PER_USER", 1)
    one, two, client = guest(member, "web-1"), guest(member, "web-2"), site.browser(member)
    with site.open(one, site.ticket(client, one), client) as first:
        said(first, b"login: ")
        with site.open(two, site.ticket(client, two), client) as second:
            assert closed(second)[0] == 4429
    wait_for(lambda: _opens(site, two, client), seconds=10, what="the first one to be forgotten")


def _opens(site: Site, vm: Any, client: Any) -> bool:
    with site.open(vm, site.ticket(client, vm), client) as socket:
        return socket.recv(timeout=10) == '{"event": "open"}'


def test_nobody_types_for_long(site: Site, guest: Any, member: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from console import session

    monkeypatch.setattr(session, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(session, "CHECK_SECONDS", 0.2)
    vm, client = guest(member, "web-1"), site.browser(member)
    with site.open(vm, site.ticket(client, vm), client) as socket:
        assert closed(socket)[0] == 4408


def test_nothing_that_was_shown_or_typed_is_logged(
    site: Site, guest: Any, member: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    with site.open(vm, ticket, client) as socket:
        said(socket, b"login: ")
        socket.send(b"\x1b]0;evil\x07hunter2")
        said(socket, b"hunter2")
    logged = caplog.text + "".join(capfd.readouterr())
    ours = "\n".join(line for line in logged.splitlines() if "client.py" not in line and "protocol.py" not in line)
    for secret in ("hunter2", "evil", "\x1b]0", ticket, client.cookies["sessionid"].value):
        assert secret not in ours
