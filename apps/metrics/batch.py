"""What a host agent sends: the shape of a batch, checked whole before anything of it is used."""

import uuid
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_SAMPLES = 120
MOST_GUESTS = 2000
MOST_CORES = 4096
MOST = 1e18
"""More than any counter of a machine says, and far less than a column takes."""

Value = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
Word = Annotated[str, Field(max_length=64, pattern=r"^[\x20-\x7e]*$")]
Degrees = Annotated[float, Field(ge=-273.15, le=10_000, allow_inf_nan=False)]
Time = Annotated[float, Field(ge=0, le=4_102_444_800, allow_inf_nan=False)]


class Part(BaseModel):
    """Unknown keys are left out, so that a newer agent can be understood."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class HostValues(Part):
    cpu: Value | None = None
    iowait: Value | None = None
    steal: Value | None = None
    load1: Value | None = None
    psi_cpu: Value | None = None
    psi_memory: Value | None = None
    psi_io: Value | None = None
    memory_total: Value | None = None
    memory_available: Value | None = None
    swap_total: Value | None = None
    swap_used: Value | None = None
    disk_read: Value | None = None
    disk_write: Value | None = None
    disk_read_ops: Value | None = None
    disk_write_ops: Value | None = None
    net_receive: Value | None = None
    net_transmit: Value | None = None
    temperature: Degrees | None = None
    watts: Value | None = None
    cores: Annotated[list[Value | None], Field(max_length=MOST_CORES)] | None = None
    energy_source: Literal["rapl", "hwmon", "model"] | None = None


class GuestValues(Part):
    cpu: Value | None = None
    memory: Value | None = None
    memory_available: Value | None = None
    memory_total: Value | None = None
    disk_read: Value | None = None
    disk_write: Value | None = None
    net_receive: Value | None = None
    net_transmit: Value | None = None


class Sample(Part):
    """All that was seen at one time by the agent's clock."""

    at: Time
    host: HostValues = HostValues()
    guests: Annotated[dict[uuid.UUID, GuestValues], Field(max_length=MOST_GUESTS)] = Field(default_factory=dict)


class Batch(Part):
    """Version 1 of the protocol in ``docs/agents.md``."""

    version: Literal[1]
    agent: Word = ""
    boot_id: Word = ""
    machine_id: Word = ""
    sent_at: Time
    schedule: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    samples: Annotated[list[Sample], Field(max_length=MOST_SAMPLES)]
