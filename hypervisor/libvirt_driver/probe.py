"""Prove an accelerator by booting a Linux kernel: a device that opens proves nothing (a broken /dev/kvm still
prints boot sectors).
"""

import contextlib
import threading
import time
from typing import Final
from uuid import uuid4

import libvirt

from hypervisor import domain_xml, names
from hypervisor.errors import HostUnreachable
from hypervisor.libvirt_driver.faults import translate
from hypervisor.specs import (
    Accelerator,
    AcceleratorProof,
    DirectBoot,
    DomainMetadata,
    DomainSpec,
    default_cpu,
)

PROOF: Final = b"CLOUDSITE-PROBE-OK"
_MEMORY_MIB: Final = 256
_KEEP: Final = 4096
_POLL_SECONDS: Final = 0.02


def prove(
    connection: libvirt.virConnect,
    path_of: domain_xml.PathOf,
    *,
    installation: str,
    boot: DirectBoot,
    kind: Accelerator,
    timeout: float,
) -> AcceleratorProof:
    """The guest is transient and dies with our connection, so that not even a killed worker leaves one
    behind.
    """
    started = time.monotonic()
    deadline = started + timeout
    xml = domain_xml.build(_spec(installation, boot, kind), path_of)
    flags = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
    try:
        domain = connection.createXML(xml, flags)
    except libvirt.libvirtError as error:
        fault = translate(error)
        if isinstance(fault, HostUnreachable):
            raise
        return AcceleratorProof(works=False, seconds=time.monotonic() - started, detail=fault.detail)
    try:
        output = _listen(connection, domain, deadline)
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            domain.destroy()
    works, seconds = PROOF in output, time.monotonic() - started
    detail = "a Linux kernel booted" if works else f"no Linux kernel booted within {timeout:.0f} s"
    return AcceleratorProof(
        works=works, seconds=seconds, detail=detail, output=output[-_KEEP:].decode("ascii", "replace")
    )


def _spec(installation: str, boot: DirectBoot, kind: Accelerator) -> DomainSpec:
    identity = uuid4()
    return DomainSpec(
        uuid=identity,
        name=f"{names.PROBE_PREFIX}{identity.hex[:12]}",
        title="accelerator probe",
        vcpus=1,
        memory_mib=_MEMORY_MIB,
        metadata=DomainMetadata(installation=installation),
        accelerator=kind,
        cpu=default_cpu(kind),
        direct_boot=boot,
    )


def _listen(connection: libvirt.virConnect, domain: libvirt.virDomain, deadline: float) -> bytes:
    """What the serial console says until the proof, the guest's end, or the deadline. Opened before the
    guest's first instruction.
    """
    stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
    domain.openConsole(None, stream, 0)
    domain.resume()
    output, pause = b"", threading.Event()
    try:
        while PROOF not in output and time.monotonic() < deadline:
            piece = stream.recv(4096)
            if isinstance(piece, bytes):
                if not piece:
                    break
                output = output[-(_KEEP * 4) :] + piece
            else:
                pause.wait(_POLL_SECONDS)
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
    return output
