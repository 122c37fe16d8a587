"""Who gets in: only the sign-in that asked, to the machine it asked for, once, within a minute."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.console.conftest import PROTOCOL, Site, said


def refused(open_it: Callable[[], Any]) -> None:
    with pytest.raises(InvalidStatus) as error, open_it():
        pass
    assert error.value.response.status_code == 403


def test_a_good_ticket_opens_the_console_and_typing_comes_back(site: Site, guest: Any, member: Any) -> None:
    vm, client = guest(member, "web-1"), site.browser(member)
    with site.open(vm, site.ticket(client, vm), client) as socket:
        assert socket.subprotocol == PROTOCOL
        assert socket.recv(timeout=10) == '{"event": "open"}'
        said(socket, b"login: ")
        socket.send(b"root\x03\x1b[A")
        said(socket, b"root\x03\x1b[A")


def test_only_a_digest_is_kept_and_the_event_names_no_ticket(site: Site, guest: Any, member: Any) -> None:
    from apps.compute.models import ConsoleTicket
    from apps.events.models import Event

    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    kept = ConsoleTicket.objects.get()
    assert kept.digest == hashlib.sha256(ticket.encode()).hexdigest()
    assert len(ticket) >= 43
    with site.open(vm, ticket, client):
        pass
    assert ticket not in str(list(Event.objects.values()) + list(ConsoleTicket.objects.values()))
    assert client.cookies["sessionid"].value not in str(list(ConsoleTicket.objects.values()))
    assert Event.objects.filter(kind="console.opened", target_id=vm.pk).count() == 1


def test_a_ticket_is_good_once(site: Site, guest: Any, member: Any) -> None:
    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    with site.open(vm, ticket, client) as socket:
        said(socket, b"login: ")
        refused(lambda: site.open(vm, ticket, client))


def test_a_late_ticket(site: Site, guest: Any, member: Any) -> None:
    from django.utils import timezone

    from apps.compute.models import ConsoleTicket

    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    ConsoleTicket.objects.update(expires_at=timezone.now())
    refused(lambda: site.open(vm, ticket, client))


def test_a_newer_ticket_voids_the_older_one(site: Site, guest: Any, member: Any) -> None:
    vm, client = guest(member, "web-1"), site.browser(member)
    older, newer = site.ticket(client, vm), site.ticket(client, vm)
    refused(lambda: site.open(vm, older, client))
    with site.open(vm, newer, client):
        pass


def test_another_machines_persons_or_sessions_ticket(site: Site, guest: Any, member: Any, admin: Any) -> None:
    vm, another = guest(member, "web-1"), guest(member, "web-2")
    client, elsewhere, boss = site.browser(member), site.browser(member), site.browser(admin)
    ticket = site.ticket(client, vm)
    refused(lambda: site.open(another, ticket, client))
    refused(lambda: site.open(vm, ticket, boss))
    refused(lambda: site.open(vm, ticket, elsewhere))
    refused(lambda: site.open(vm, ticket))
    with site.open(vm, ticket, client):
        pass


def test_after_sign_out_and_after_a_new_password(site: Site, guest: Any, member: Any, settings: Any) -> None:
    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    key = client.cookies["sessionid"].value
    client.logout()
    client.cookies["sessionid"] = key
    refused(lambda: site.open(vm, ticket, client))
    client = site.browser(member)
    ticket = site.ticket(client, vm)
    member.set_password("another long password")
    member.save()
    refused(lambda: site.open(vm, ticket, client))


@pytest.mark.parametrize("ticket", ["", "x" * 43, "ticket.", "a b"], ids=["none", "unknown", "odd", "spaced"])
def test_no_ticket(site: Site, guest: Any, member: Any, ticket: str) -> None:
    vm, client = guest(member, "web-1"), site.browser(member)
    offered = [PROTOCOL, f"ticket.{ticket.replace(' ', '')}"] if ticket else [PROTOCOL]
    refused(lambda: site.open(vm, "", client, subprotocols=offered))


def test_the_ticket_may_not_stand_in_the_address(site: Site, guest: Any, member: Any) -> None:
    from websockets.sync.client import connect

    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    url = f"ws://127.0.0.1:{site.port}/console/{vm.pk}/?ticket={ticket}"
    headers = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
    refused(lambda: connect(url, origin=site.origin, additional_headers=headers))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://[", None],
    ids=lambda value: str(value),
)
def test_another_origin(site: Site, guest: Any, member: Any, origin: str | None) -> None:
    """Also none at all: a cookie alone does not say that a page of ours opened it."""
    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    refused(lambda: site.open(vm, ticket, client, origin=origin))
    with site.open(vm, ticket, client):
        pass


def test_an_unknown_host_name(site: Site, guest: Any, member: Any) -> None:
    """A page of an attacker whose name points at us has an origin that equals the Host header."""
    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    rebound = {"Host": "evil.example"}
    refused(lambda: site.open(vm, ticket, client, origin="http://evil.example", headers=rebound))


def test_a_program_with_a_token(site: Site, guest: Any, member: Any, other: Any) -> None:
    from django.test import Client

    from apps.accounts.services import token_issue

    vm, program = guest(member, "web-1"), Client()
    mine, theirs, later = (token_issue(user=user, scope="full").access for user in (member, other, member))
    ticket = site.ticket(program, vm, Authorization=f"Bearer {mine}")
    for bearer in (theirs, later, "nonsense"):
        headers = {"Authorization": f"Bearer {bearer}"}
        refused(lambda given=headers: site.open(vm, ticket, origin=None, headers=given))
    with site.open(vm, ticket, origin=None, headers={"Authorization": f"Bearer {mine}"}) as socket:
        said(socket, b"login: ")


@pytest.mark.parametrize("path", ["/console/", "/console/x/", "/console/{}", "/console/{}/x", "//console/{}/", "/"])
def test_other_addresses(site: Site, guest: Any, member: Any, path: str) -> None:
    from websockets.sync.client import connect

    vm, client = guest(member, "web-1"), site.browser(member)
    headers = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
    url = f"ws://127.0.0.1:{site.port}{path.format(vm.pk)}"
    refused(lambda: connect(url, origin=site.origin, additional_headers=headers))  # type: ignore[arg-type]


def test_the_console_process_is_away(site: Site, guest: Any, member: Any) -> None:
    from apps.compute.services.console import socket_path

    vm, client = guest(member, "web-1"), site.browser(member)
    ticket = site.ticket(client, vm)
    socket_path().unlink()
    refused(lambda: site.open(vm, ticket, client))
