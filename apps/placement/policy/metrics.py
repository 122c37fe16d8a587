"""The numbers that a policy may weigh, and those that have a name but no data yet: asking for them is an error."""

from dataclasses import dataclass

LABEL_PREFIX = "label_"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of each host, as it would be with the VM on it."""

    name: str
    unit: str
    meaning: str


METRICS = {
    metric.name: metric
    for metric in (
        Metric(name="vcpus_free", unit="vCPU", meaning="vCPUs left to claim"),
        Metric(name="vcpus_free_share", unit="share", meaning="vCPUs left, of what may be claimed"),
        Metric(name="vcpus_per_cpu", unit="vCPU per CPU", meaning="claimed vCPUs for each real CPU"),
        Metric(name="memory_free", unit="MiB", meaning="memory left to claim"),
        Metric(name="memory_free_share", unit="share", meaning="memory left, of what may be claimed"),
        Metric(name="disk_free", unit="GiB", meaning="disk left to claim"),
        Metric(name="disk_free_share", unit="share", meaning="disk left, of what may be claimed"),
        Metric(
            name="imbalance",
            unit="share",
            meaning="distance between the used shares of vCPUs and memory: what is left of one alone is no use",
        ),
        Metric(name="vms", unit="VMs", meaning="machines on the host before this one"),
        Metric(name="group_vms", unit="VMs", meaning="machines on the host that are of the VM's placement group"),
        Metric(name="image_cached", unit="0 or 1", meaning="the image is on the host already"),
        Metric(name="native", unit="0 or 1", meaning="the host's CPU is of the guest's architecture"),
        Metric(name="kvm", unit="0 or 1", meaning="the host runs guests with KVM, not by emulation"),
        Metric(name="watts", unit="W", meaning="the host's power by its model"),
        Metric(
            name="watts_added",
            unit="W",
            meaning="power that this VM adds by the model; an empty host's idle power counts, as it could be off",
        ),
        Metric(name="watts_per_vcpu", unit="W per vCPU", meaning="the host's power for each claimed vCPU"),
    )
}

NO_DATA = {
    "cpu_load": "measured load needs the metrics of the host agent, which Cloudsite does not collect yet",
    "memory_load": "measured load needs the metrics of the host agent, which Cloudsite does not collect yet",
    "disk_load": "measured load needs the metrics of the host agent, which Cloudsite does not collect yet",
    "network_load": "measured load needs the metrics of the host agent, which Cloudsite does not collect yet",
    "watts_measured": "no host reports measured power yet; watts comes from the power model",
    "temperature": "no host reports its temperature yet",
}
