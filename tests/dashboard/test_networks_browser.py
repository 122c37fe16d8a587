"""Networks in a real Chromium: the plan, the dialogs, and what axe finds."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.compute.models import PortForward
from apps.network.models import Network
from tests.dashboard.looks import looks_right

pytestmark = pytest.mark.django_db(transaction=True)
Open = Callable[..., Page]


@pytest.fixture
def machine(admin: Any, make_vm: Any, host: Any) -> Any:
    """A VM in two networks, with a port."""
    type(host).objects.update(forwards_ports=True)
    vm = make_vm(admin, "web-1")
    back = Network.objects.create(
        host=host, owner=admin, name="back", kind="isolated", cidr="10.7.0.0/24", libvirt_name="cs-1-back"
    )
    Network.objects.create(host=host, owner=admin, name="a" * 63, kind="lan", device="eth0", libvirt_name="cs-1-lan")
    vm.nics.create(network=back, mac="52:00:00:00:00:77", ip="10.7.0.2")
    PortForward.objects.create(vm=vm, nic=vm.nics.first(), host=host, host_port=8080, guest_port=80, phase="ready")
    return vm


def test_a_port_is_opened_in_the_dialog(open_as: Open, admin: Any, machine: Any) -> None:
    page = open_as(admin, f"/vms/{machine.pk}/network/")
    page.get_by_role("button", name="Add port forward").click()
    dialog = page.get_by_role("dialog", name="Add a port forward")
    dialog.get_by_label("Port of the host").fill("9090")
    dialog.get_by_label("Port of the machine").fill("443")
    dialog.get_by_role("button", name="Open the port").click()
    expect(page.get_by_text("h1:9090")).to_be_visible()
    assert PortForward.objects.filter(host_port=9090, guest_port=443).exists()


def test_the_form_says_what_a_lan_cannot(open_as: Open, admin: Any, machine: Any) -> None:
    page = open_as(admin, "/networks/new/")
    page.get_by_label("Name", exact=True).press_sequentially("office")
    expect(page.get_by_label("The plan")).to_contain_text("Nothing is done yet")
    expect(page.get_by_text("Wi-Fi cannot do it: an access point refuses the machines'").first).to_be_hidden()
    page.get_by_text("The network that the host itself is in").click()
    expect(page.get_by_label("The plan")).to_contain_text("Wi-Fi")
    page.get_by_role("button", name="Create network").click()
    expect(page.get_by_role("heading", name="office", exact=True)).to_be_visible()


def test_axe_finds_nothing(open_as: Open, admin: Any, machine: Any) -> None:
    back = Network.objects.get(name="back")
    paths = ["/networks/", "/networks/new/", f"/networks/{back.pk}/", f"/vms/{machine.pk}/network/"]
    page = open_as(admin, paths[0])
    for path in paths:
        page.goto(path)
        looks_right(page)
