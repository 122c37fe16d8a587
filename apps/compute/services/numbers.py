"""vCPUs, memory and disk as people may ask for them: a size of the catalogue, or own numbers within bounds."""

from apps.compute.models import Size
from apps.errors import refused

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
