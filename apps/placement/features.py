"""CPU features outside of a decision: what one host lacks of what somebody asks for."""

from collections.abc import Iterable

from apps.hosts.models import Host
from apps.placement.engine.cpu import lacking
from apps.placement.selectors import features_known


def host_lacks(*, host: Host, cpu_features: Iterable[str]) -> str:
    """Why guests on this host would not have them; nothing where they would."""
    known = features_known(host.cpu_features, host.accelerator)
    native, accelerator = host.native_architecture, host.accelerator
    return lacking(cpu_features, features=known, native=native, accelerator=accelerator)
