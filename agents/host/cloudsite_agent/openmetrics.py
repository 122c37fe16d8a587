"""What the agent saw, in the words of Prometheus: names of node_exporter and of the libvirt exporter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import VERSION
from .guest import TICKS
from .processor import MODES
from .state import State

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Labels = Mapping[str, str]
Sample = tuple[Labels, float | int | None]
HOST_GAUGES = {
    "node_load1": ("load1", "1m load average."),
    "node_memory_MemTotal_bytes": ("memory_total", "Memory information field MemTotal_bytes."),
    "node_memory_MemAvailable_bytes": ("memory_available", "Memory information field MemAvailable_bytes."),
    "node_memory_SwapTotal_bytes": ("swap_total", "Memory information field SwapTotal_bytes."),
    "cloudsite_host_temperature_celsius": ("temperature", "The hottest sensor of the processors."),
}
DISK_COUNTERS = {
    "node_disk_read_bytes": (0, "Bytes read."),
    "node_disk_written_bytes": (1, "Bytes written."),
    "node_disk_reads_completed": (2, "Reads completed."),
    "node_disk_writes_completed": (3, "Writes completed."),
}


class Page:
    """The text so far. A value that is not known has no line."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def gauge(self, name: str, explanation: str, samples: Iterable[Sample]) -> None:
        self._family(name, name, "gauge", explanation, samples)

    def counter(self, name: str, explanation: str, samples: Iterable[Sample]) -> None:
        """``name`` without ``_total``, which the samples alone have."""
        self._family(name, f"{name}_total", "counter", explanation, samples)

    def text(self) -> str:
        return "\n".join([*self._lines, "# EOF", ""])

    def _family(self, family: str, name: str, kind: str, explanation: str, samples: Iterable[Sample]) -> None:
        lines = [f"{name}{_braces(labels)} {value}" for labels, value in samples if value is not None]
        if lines:
            self._lines += [f"# TYPE {family} {kind}", f"# HELP {family} {explanation}", *lines]


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    """Names come from whoever named the guest."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def page(state: State) -> str:
    """The whole answer."""
    made = Page()
    _host(made, state)
    _guests(made, state)
    _agent(made, state)
    return made.text()


def _host(made: Page, state: State) -> None:
    sample = (state.sample or {}).get("host", {})
    times = {name: values for name, values in state.host.processor.times.items() if name != "cpu"}
    seconds = [
        ({"cpu": name[3:], "mode": mode}, round(ticks / TICKS, 2))
        for name, values in times.items()
        for mode, ticks in zip(MODES, values, strict=True)
    ]
    made.counter("node_cpu_seconds", "Seconds the CPUs spent in each mode.", seconds)
    for name, (key, explanation) in HOST_GAUGES.items():
        made.gauge(name, explanation, [({}, sample.get(key))])
    for name, (index, explanation) in DISK_COUNTERS.items():
        devices = state.host.disks.counters.items()
        made.counter(name, explanation, [({"device": disk}, values[index]) for disk, values in devices])
    traffic = state.host.interfaces.physical(state.host.interfaces.traffic).items()
    for index, way in enumerate(("receive", "transmit")):
        bytes_ = [({"device": name}, values[index]) for name, values in traffic]
        made.counter(f"node_network_{way}_bytes", f"Network device bytes, {way}.", bytes_)
    if source := sample.get("energy_source"):
        made.gauge("cloudsite_host_watts", "Power of the host.", [({"source": source}, sample.get("watts"))])


def _guests(made: Page, state: State) -> None:
    guests = [({"domain": guest.name or guest.uuid, "uuid": guest.uuid}, guest) for guest in state.guests]
    made.counter(
        "libvirt_domain_info_cpu_time_seconds",
        "Processor time used by the guest's process.",
        [(labels, guest.seconds_used) for labels, guest in guests],
    )
    made.gauge(
        "libvirt_domain_info_memory_usage_bytes",
        "Resident memory of the guest's process.",
        [(labels, guest.resident) for labels, guest in guests],
    )
    for index, word in enumerate(("read", "write")):
        storage = [(labels, guest.storage.get("storage", (None, None))[index]) for labels, guest in guests]
        made.counter(f"cloudsite_guest_storage_{word}_bytes", f"Bytes to {word} from and to storage.", storage)
    for index, way in ((1, "receive"), (0, "transmit")):  # a tap receives what the guest transmits
        taps = [
            ({**labels, "target_device": tap}, values[index])
            for labels, guest in guests
            for tap, values in guest.taps.items()
        ]
        made.counter(f"libvirt_domain_interface_stats_{way}_bytes", f"Bytes on an interface, {way}.", taps)


def _agent(made: Page, state: State) -> None:
    made.gauge("cloudsite_agent_info", "The version of the agent.", [({"version": VERSION}, 1)])
    made.counter("cloudsite_agent_samples", "Samples taken since the start.", [({}, state.samples)])
    made.counter("cloudsite_agent_samples_sent", "Samples the backend took.", [({}, state.progress.sent)])
    made.counter("cloudsite_agent_push_failures", "Batches not taken.", [({}, state.progress.failures)])
    made.gauge("cloudsite_agent_buffer_bytes", "Bytes that wait.", [({}, state.buffer.figures()["bytes"])])
