"""Addresses: each once, the same one when asked again, never the network's own."""

import uuid
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import pytest

from apps.errors import Refused
from apps.network import services
from apps.network.models import Address, Network
from apps.network.selectors import addresses_free, gateway
from apps.network.services import address_release, address_reserve, network_record
from hypervisor.specs import mac_for
from tests.parallel import in_parallel


def make_network(host: Any, cidr: str = "192.168.150.0/24") -> Network:
    return network_record(network_id=uuid.uuid4(), host=host, libvirt_name="cs-1", cidr=cidr, bridge="cs-1")


def reserve(network: Network, consumer_id: uuid.UUID) -> Address:
    return address_reserve(network=network, consumer_id=consumer_id, hostname="vm", mac_of=partial(mac_for, network.pk))


class TestReserve:
    def test_the_first_free_one_and_the_same_again(self, host: Any) -> None:
        network = make_network(host)
        machine = uuid.uuid4()
        first = reserve(network, machine)
        assert (first.ip, first.mac) == ("192.168.150.2", mac_for(network.pk, IPv4Address("192.168.150.2")))
        assert reserve(network, machine).pk == first.pk
        assert reserve(network, uuid.uuid4()).ip == "192.168.150.3"

    def test_one_that_was_given_back_is_used_again(self, host: Any) -> None:
        network = make_network(host)
        machine = uuid.uuid4()
        reserve(network, machine)
        address_release(consumer_id=machine)
        assert reserve(network, uuid.uuid4()).ip == "192.168.150.2"

    def test_never_the_networks_own(self, host: Any) -> None:
        network = make_network(host, "192.168.7.0/29")
        given = [reserve(network, uuid.uuid4()).ip for _ in range(5)]
        assert given == [f"192.168.7.{last}" for last in range(2, 7)]
        assert str(gateway(network)) == "192.168.7.1"
        assert addresses_free(network=network) == []
        with pytest.raises(Refused) as error:
            reserve(network, uuid.uuid4())
        assert error.value.code == "network.full"


@pytest.mark.django_db(transaction=True)
class TestParallel:
    def test_each_address_once_and_all_of_them(self, make_host: Any) -> None:
        network = make_network(make_host(), "192.168.7.0/28")
        answers = in_parallel(partial(reserve, network), [uuid.uuid4() for _ in range(24)])
        given = [answer.ip for answer in answers if isinstance(answer, Address)]
        assert len(given) == len(set(given)) == 13
        assert {type(answer) for answer in answers} == {Address, Refused}

    def test_one_machine_many_times_has_one(self, make_host: Any) -> None:
        network, machine = make_network(make_host()), uuid.uuid4()
        answers = in_parallel(partial(reserve, network), [machine] * 12)
        assert {answer.ip for answer in answers} == {"192.168.150.2"}
        assert Address.objects.count() == 1

    def test_control_without_the_lock_two_want_the_same(self, make_host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The constraint still refuses the second, but with an error instead of the next address."""
        import threading

        from django.db import IntegrityError

        network = make_network(make_host())
        gate = threading.Barrier(4)

        def together(**found: Any) -> list[IPv4Address]:
            free = addresses_free(**found)
            gate.wait(10)
            return free

        monkeypatch.setattr(services, "addresses_free", together)
        monkeypatch.setattr(type(Network.objects.all()), "select_for_update", lambda query: query)
        answers = in_parallel(partial(reserve, network), [uuid.uuid4() for _ in range(4)])
        assert sum(isinstance(answer, IntegrityError) for answer in answers) == 3


def test_the_first_record_of_a_network_stays(host: Any) -> None:
    first = make_network(host)
    again = make_network(host, "192.168.151.0/24")
    assert (again.pk, again.cidr) == (first.pk, "192.168.150.0/24")
