"""What a VM's record becomes on its host: board, firmware, buses, accelerator."""

from typing import Any

import pytest

from workers.compute.domain import domain_spec, seed_name
from workers.compute.machine import accelerator_of


def test_compatible_devices_are_sata_and_e1000e_with_the_seed_as_a_cd(workshop: Any) -> None:
    vm, operation = workshop.create(devices="compatible")
    assert workshop.carry_out(operation).status == "succeeded"
    spec = domain_spec(vm, workshop.host, vm.nics.get())
    assert [(disk.target, disk.bus, disk.device) for disk in spec.disks] == [
        ("sda", "sata", "disk"),
        ("sdb", "sata", "cdrom"),
    ]
    assert spec.disks[1].volume == seed_name(vm)
    assert spec.nics[0].model == "e1000e"


@pytest.mark.parametrize(
    ("architecture", "firmware", "board"), [("x86_64", "uefi", "q35"), ("aarch64", "uefi", "virt")]
)
def test_the_board_follows_the_architecture(workshop: Any, architecture: str, firmware: str, board: str) -> None:
    workshop.image.architecture = architecture
    workshop.image.save()
    workshop.host.architectures = workshop.host.uefi = ["aarch64", "x86_64"]
    workshop.host.save()
    vm, operation = workshop.create(firmware=firmware)
    assert workshop.carry_out(operation).status == "succeeded"
    spec = domain_spec(vm, workshop.host, vm.nics.get())
    assert (spec.architecture, spec.firmware, spec.machine) == (architecture, firmware, board)


def test_kvm_runs_only_the_hosts_own_architecture(workshop: Any) -> None:
    vm = workshop.running()
    workshop.host.accelerator = "kvm"
    assert accelerator_of(vm, workshop.host) == "kvm"
    vm.image.architecture = "aarch64"
    assert accelerator_of(vm, workshop.host) == "tcg"
    workshop.host.native_architecture = "aarch64"
    assert accelerator_of(vm, workshop.host) == "kvm"


def test_a_probe_tells_the_firmware(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.hosts.services import host_probe
    from workers import hosts

    workshop.fake.configure(architectures=["aarch64", "x86_64"], uefi=["aarch64"])
    _host, operation = host_probe(actor=workshop.admin, host_id=workshop.host.pk)
    monkeypatch.setattr(hosts, "_choose_accelerator", lambda *_arguments: None)
    workshop.claim_once(operation)
    workshop.host.refresh_from_db()
    assert (workshop.host.architectures, workshop.host.uefi) == (["aarch64", "x86_64"], ["aarch64"])
