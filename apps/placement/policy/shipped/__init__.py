"""Policies that come with Cloudsite, each a file to read and to copy."""

import functools
from pathlib import Path

from apps.placement.policy.language import policy_read
from apps.placement.policy.model import Policy

DIRECTORY = Path(__file__).parent
FOR_VOLUMES = "disk-room"


@functools.cache
def shipped_texts() -> dict[str, str]:
    """Name and text of each."""
    return {path.stem: path.read_text() for path in sorted(DIRECTORY.glob("*.yaml"))}


@functools.cache
def shipped(name: str) -> Policy:
    """One that is known to be there."""
    return policy_read(shipped_texts()[name])
