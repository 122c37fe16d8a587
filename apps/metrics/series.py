"""The series that are kept, and their units: the one list that tables, ingest and answers are made from."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is measured: hosts or virtual machines."""

    name: str
    key: str
    units: dict[str, str]

    @property
    def series(self) -> tuple[str, ...]:
        return tuple(self.units)


HOST = Kind(
    name="host",
    key="host_id",
    units={
        "cpu": "share",
        "iowait": "share",
        "steal": "share",
        "load1": "processes",
        "psi_cpu": "percent",
        "psi_memory": "percent",
        "psi_io": "percent",
        "memory_total": "bytes",
        "memory_available": "bytes",
        "swap_total": "bytes",
        "swap_used": "bytes",
        "disk_read": "bytes/s",
        "disk_write": "bytes/s",
        "disk_read_ops": "operations/s",
        "disk_write_ops": "operations/s",
        "net_receive": "bytes/s",
        "net_transmit": "bytes/s",
        "temperature": "celsius",
        "watts": "watts",
    },
)
VM = Kind(
    name="vm",
    key="vm_id",
    units={
        "cpu": "cores",
        "memory": "bytes",
        "memory_available": "bytes",
        "memory_total": "bytes",
        "disk_read": "bytes/s",
        "disk_write": "bytes/s",
        "net_receive": "bytes/s",
        "net_transmit": "bytes/s",
    },
)
KINDS = (HOST, VM)
