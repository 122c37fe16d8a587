"""What a guest shows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Screenshot:
    """A picture as the host made it: `image/png` or `image/x-portable-pixmap`. Drawn by the guest, so untrusted."""

    media_type: str
    content: bytes
