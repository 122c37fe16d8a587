"""What kind of machine a VM is: its firmware and the devices that it finds."""

from dataclasses import dataclass

from apps.errors import refused
from apps.storage.models import Devices, Firmware, Image

ARM = "aarch64"


@dataclass(frozen=True, kw_only=True)
class Machine:
    firmware: str
    devices: str


def machine_wanted(*, image: Image, firmware: str | None, devices: str | None) -> Machine:
    """What was asked for, else what the image asks for. Raises ``Refused`` for what its board does not have.

    Whether a host has the firmware is the placement's question.
    """
    if firmware not in (None, *Firmware.values):
        raise refused("firmware", "vm.firmware", "The firmware is bios or uefi.")
    if devices not in (None, *Devices.values):
        raise refused("devices", "vm.devices", "The devices are virtio or compatible.")
    if image.architecture == ARM:
        if firmware == Firmware.BIOS:
            raise refused("firmware", "vm.firmware", f"{image.name} is for {ARM}, which has no BIOS. Use uefi.")
        if devices == Devices.COMPATIBLE:
            raise refused("devices", "vm.devices", f"{image.name} is for {ARM}, whose systems all know virtio.")
        return Machine(firmware=Firmware.UEFI, devices=Devices.VIRTIO)
    return Machine(firmware=firmware or image.firmware, devices=devices or image.devices)
