"""The form of an address that we are asked to fetch, and of a checksum. Where the name leads to is looked at by the
worker that fetches it, right when it connects."""

import re
from urllib.parse import urlsplit

from django.conf import settings

from apps.errors import refused

CHECKSUM = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")


def url_checked(field: str, url: str) -> str:
    """The address itself. Raises ``Refused`` for another scheme, credentials, an odd port, or nonsense."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise refused(field, "url.invalid", "This is no address of the web.") from error
    schemes = ("https", "http") if settings.IMPORT_HTTP else ("https",)
    if parts.scheme not in schemes:
        raise refused(field, "url.scheme", f"The address begins with {' or '.join(s + '://' for s in schemes)}.")
    if not url.isascii() or not url.isprintable() or re.search(r"[\s\\]", url) or not parts.hostname:
        raise refused(field, "url.invalid", "This is no address of the web.")
    if "@" in parts.netloc:
        raise refused(field, "url.credentials", "An address with a user name or password is not fetched.")
    if (port or {"https": 443, "http": 80}[parts.scheme]) not in settings.IMPORT_PORTS:
        known = ", ".join(map(str, settings.IMPORT_PORTS))
        raise refused(field, "url.port", f"Images are fetched from the ports {known} only.")
    return url


def checksum_checked(checksum: str) -> str:
    """``sha256:<hex>`` or ``sha512:<hex>`` in lower case. Raises ``Refused``."""
    found = checksum.strip().lower()
    if not CHECKSUM.fullmatch(found):
        raise refused("checksum", "checksum.invalid", "A checksum is sha256: or sha512: and its hexadecimal digits.")
    return found
