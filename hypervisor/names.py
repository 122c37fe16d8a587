"""The shapes of names that may reach a host. Free text never becomes a name; it goes into a title."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Final

_OBJECT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]|[a-z0-9]", re.ASCII)
_VOLUME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,120}\.(qcow2|raw|iso|img)", re.ASCII)
_BRIDGE: Final = re.compile(r"[a-z][a-z0-9-]{0,14}", re.ASCII)
_DEVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", re.ASCII)
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
_MAC: Final = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def _matching(pattern: re.Pattern[str], text: str, what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"not a valid {what}: {text!r}")
    return text


def object_name(text: str) -> str:
    """A domain, pool or network name."""
    return _matching(_OBJECT, text, "object name")


def volume_name(text: str) -> str:
    """A file name with an ending AppArmor's libvirt profile and our own readers know; never a path."""
    return _matching(_VOLUME, text, "volume name")


def bridge_name(text: str) -> str:
    """A Linux interface name: 15 bytes at most (IFNAMSIZ)."""
    return _matching(_BRIDGE, text, "bridge name")


def device_name(text: str) -> str:
    """A network device that somebody else named; Linux allows more, nobody uses it."""
    return _matching(_DEVICE, text, "device name")


def user_name(text: str) -> str:
    return _matching(_USER, text, "user name")


def mac_address(text: str) -> str:
    """Lower case, colons; and unicast, since a guest with a multicast address gets no packet."""
    _matching(_MAC, text, "MAC address")
    if int(text[:2], 16) & 1:
        raise ValueError(f"not a unicast MAC address: {text!r}")
    return text


def token(text: str) -> str:
    """A word from a closed vocabulary of libvirt's: a CPU model, a feature, a machine, a filter."""
    return _matching(_TOKEN, text, "word")


def host_name(text: str) -> str:
    """An RFC 1123 name or an IP address, without brackets or a scope; never something `ssh` reads as an
    option.
    """
    try:
        address = ip_address(text)
    except ValueError:
        labels = text.split(".")
        if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError(f"not a valid host name: {text!r}") from None
        return text
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(f"a host address carries no scope: {text!r}")
    return text


PROBE_PREFIX: Final = "cs-probe-"
"""Names of guests that only prove an accelerator; they live for seconds and are nobody's."""

COPY_PREFIX: Final = "cs-copy-"
"""Names of guests that never run and hold a disk while it is copied."""
