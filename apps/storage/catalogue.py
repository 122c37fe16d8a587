"""The catalogue: where the distributions publish their cloud images, as data in ``catalogue.yaml``."""

import functools
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from apps.errors import refused

FILE = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One image of the catalogue. ``sums`` is empty where the vendor publishes no list of checksums."""

    name: str
    title: str
    url: str
    user: str
    disk_gib: int
    memory_mib: int
    firmware: str
    sums: str = ""
    kind: str = ""
    packed: str = ""
    architecture: str = "x86_64"
    cloud_init: bool = True

    @property
    def sums_host(self) -> str:
        """Whose list of checksums it is compared with."""
        return urlsplit(self.sums).hostname or ""


@functools.cache
def offers() -> tuple[Offer, ...]:
    """Everything that is offered, in the order of the file."""
    return tuple(Offer(**entry) for entry in yaml.safe_load(FILE.read_text()))


def offer_wanted(name: str) -> Offer:
    """The offer with this name. Raises ``Refused``."""
    found = next((offer for offer in offers() if offer.name == name), None)
    if found is None:
        known = ", ".join(offer.name for offer in offers())
        raise refused("catalogue", "catalogue.unknown", f"The catalogue has no {name[:60]!r}. It has {known}.")
    return found
