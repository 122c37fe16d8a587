"""A host without a hypervisor, for tests and for trying the control plane: same interface, same contract
tests as the driver.

Its state is a file, so that several worker processes share one host and a process killed at any point leaves
what it had done. `FakeHost` is the host (what a test does to it), `FakeHypervisor` a connection to it.
"""

from hypervisor.fake.driver import FakeHypervisor
from hypervisor.fake.host import FakeHost, Fault

__all__ = ["FakeHost", "FakeHypervisor", "Fault"]
