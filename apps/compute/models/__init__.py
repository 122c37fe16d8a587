"""The tables of virtual machines, one file for each noun."""

from apps.compute.models.console import ConsoleKind, ConsoleTicket
from apps.compute.models.console_password import ConsolePassword
from apps.compute.models.port_forward import ForwardPhase, PortForward
from apps.compute.models.schedule import Action, Schedule
from apps.compute.models.snapshot import Snapshot, SnapshotPhase
from apps.compute.models.vm import VM, DesiredPower, Nic, NicPhase, Phase, Power, Size
from apps.compute.models.volume_attachment import AttachmentState, VolumeAttachment

__all__ = [
    "VM",
    "Action",
    "AttachmentState",
    "ConsoleKind",
    "ConsolePassword",
    "ConsoleTicket",
    "DesiredPower",
    "ForwardPhase",
    "Nic",
    "NicPhase",
    "Phase",
    "PortForward",
    "Power",
    "Schedule",
    "Size",
    "Snapshot",
    "SnapshotPhase",
    "VolumeAttachment",
]
