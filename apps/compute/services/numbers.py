"""vCPUs, memory and disk as people may ask for them: a size of the catalogue, or own numbers within bounds."""

from apps.compute.models import Size
from apps.errors import refused
from apps.hosts.capacity import Demand

MOST_VCPUS = 256
MOST_MEMORY_MIB = 4 * 2**20
MOST_DISK_GIB = 64 * 1024
LEAST_MEMORY_MIB = 64
BOUNDS = {
    "vcpus": (1, MOST_VCPUS),
    "memory_mib": (LEAST_MEMORY_MIB, MOST_MEMORY_MIB),
    "disk_gib": (1, MOST_DISK_GIB),
    "max_vcpus": (1, MOST_VCPUS),
    "max_memory_mib": (LEAST_MEMORY_MIB, MOST_MEMORY_MIB),
}


def check_bounds(**numbers: int | None) -> None:
    """Raises ``Refused`` on the first number that lies outside its bounds; None is not looked at."""
    for field, value in numbers.items():
        least, most = BOUNDS[field]
        if value is not None and not least <= value <= most:
            raise refused(field, "vm.out_of_range", f"{field} lies between {least} and {most}.")


def check_maxima(*, vcpus: int, memory_mib: int, max_vcpus: int | None, max_memory_mib: int | None) -> None:
    """To what it may grow while it runs is at least what it has. Raises ``Refused``."""
    check_bounds(max_vcpus=max_vcpus, max_memory_mib=max_memory_mib)
    if max_vcpus is not None and max_vcpus < vcpus:
        raise refused("max_vcpus", "vm.maximum_too_small", f"max_vcpus is at least vcpus, {vcpus}.")
    if max_memory_mib is not None and max_memory_mib < memory_mib:
        raise refused("max_memory_mib", "vm.maximum_too_small", f"max_memory_mib is at least memory_mib, {memory_mib}.")


def size_wanted(*, name: str, **own: int | None) -> Size:
    """The size of this name. Raises ``Refused``; also when numbers were given beside it."""
    given = next((field for field, value in own.items() if value is not None), None)
    if given:
        raise refused(given, "vm.size_and_numbers", "Give a size, or vcpus, memory_mib and disk_gib; not both.")
    chosen = Size.objects.select_related("policy").filter(name=name).first()
    if chosen is None:
        known = ", ".join(Size.objects.values_list("name", flat=True))
        raise refused("size", "size.unknown", f"There is no size {name!r}. Known: {known}.")
    return chosen


def demand_wanted(
    *, size: str | None, vcpus: int | None, memory_mib: int | None, disk_gib: int | None
) -> tuple[Size | None, Demand]:
    """What is asked for by a size or by own numbers, and that size. Raises ``Refused`` for neither and for both."""
    own = {"vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib}
    if size is not None:
        chosen = size_wanted(name=size, **own)
        return chosen, Demand(vcpus=chosen.vcpus, memory_mib=chosen.memory_mib, disk_gib=chosen.disk_gib)
    missing = next((field for field, value in own.items() if value is None), None)
    if missing:
        raise refused(missing, "vm.size_missing", "Give a size, or all of vcpus, memory_mib and disk_gib.")
    check_bounds(**own)
    assert vcpus is not None and memory_mib is not None and disk_gib is not None  # noqa: S101  # for the type checker
    return None, Demand(vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib)
