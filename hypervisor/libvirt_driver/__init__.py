"""The only package that imports libvirt and sees a `libvirtError`, split by noun."""

from hypervisor.libvirt_driver.cache import DriverCache
from hypervisor.libvirt_driver.driver import LibvirtHypervisor

__all__ = ["DriverCache", "LibvirtHypervisor"]
