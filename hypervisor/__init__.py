"""The seam to virtualization hosts: `interface.Hypervisor` over the frozen dataclasses of `specs`.

This package knows no web framework and nothing of the control plane. Only `hypervisor.libvirt_driver` imports
libvirt, only
`hypervisor.ssh` imports paramiko. `hypervisor.fake` passes the same contract tests as the driver.
"""
