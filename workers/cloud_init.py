"""The parts of a NoCloud seed that are ours: keys and host name in meta-data, additions in vendor-data.

User-data is the user's, byte for byte. Everything is emitted as YAML, never joined from strings.
"""

import yaml

from apps.compute.models import VM


def meta_data(vm: VM) -> bytes:
    """Identity, host name and public keys, which cloud-init gives to the image's default user."""
    content = {
        "instance-id": str(vm.pk),
        "local-hostname": vm.created_name,
        "public-keys": list(vm.ssh_keys),
    }
    return yaml.safe_dump(content, sort_keys=False).encode()


def rescue_meta_data(vm: VM, keys: list[str]) -> bytes:
    """A name and an identity that are not the VM's own: nobody shall take the rescue system for it."""
    content = {
        "instance-id": f"{vm.pk}-rescue",
        "local-hostname": f"{vm.created_name[:56]}-rescue",
        "public-keys": list(dict.fromkeys([*vm.ssh_keys, *keys])),
    }
    return yaml.safe_dump(content, sort_keys=False).encode()


def vendor_data(_vm: VM) -> bytes:
    """What Cloudsite adds: the disk grows into its size. cloud-init lets user-data override all of it."""
    content = {"growpart": {"mode": "auto", "devices": ["/"]}, "resize_rootfs": True}
    return b"#cloud-config\n" + yaml.safe_dump(content, sort_keys=False).encode()
