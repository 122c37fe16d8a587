"""libvirt's errors as ours. Codes first; texts only where libvirt has no code for what it says."""

from typing import Final

import libvirt

from hypervisor import errors

_BY_CODE: Final[dict[int, type[errors.HypervisorError]]] = {
    libvirt.VIR_ERR_NO_DOMAIN: errors.NotFound,
    libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT: errors.NotFound,
    libvirt.VIR_ERR_NO_NETWORK: errors.NotFound,
    libvirt.VIR_ERR_NO_STORAGE_POOL: errors.NotFound,
    libvirt.VIR_ERR_NO_STORAGE_VOL: errors.NotFound,
    libvirt.VIR_ERR_NO_SUPPORT: errors.Unsupported,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: errors.Unsupported,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: errors.Unsupported,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: errors.HostBusy,
    libvirt.VIR_ERR_AUTH_CANCELLED: errors.AuthenticationFailed,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE: errors.AuthenticationFailed,
    libvirt.VIR_ERR_ACCESS_DENIED: errors.AuthenticationFailed,
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: errors.Conflict,
    libvirt.VIR_ERR_DOM_EXIST: errors.Conflict,
    libvirt.VIR_ERR_NETWORK_EXIST: errors.Conflict,
    libvirt.VIR_ERR_NO_MEMORY: errors.OutOfMemory,
}
_TRUST_TEXTS: Final[tuple[tuple[str, type[errors.HypervisorError]], ...]] = (
    ("Host key verification failed", errors.HostKeyChanged),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", errors.HostKeyChanged),
    ("No ED25519 host key is known", errors.HostKeyChanged),
    ("Permission denied (", errors.AuthenticationFailed),
    ("socket to '/", errors.HostUnreachable),
    ("certificate", errors.CertificateRejected),
    ("Certificate", errors.CertificateRejected),
    ("TLS handshake failed", errors.CertificateRejected),
    ("Unable to read TLS confirmation", errors.CertificateRejected),  # the host refused ours and hung up
)
_TEXTS: Final[tuple[tuple[str, type[errors.HypervisorError]], ...]] = (
    ("No space left on device", errors.OutOfSpace),
    ("Disk quota exceeded", errors.OutOfSpace),
    ("Cannot allocate memory", errors.OutOfMemory),
    ("asynchronous jobs running", errors.HostBusy),
    ("is still being allocated", errors.HostBusy),
    ("already exists", errors.Conflict),
    ("existing dhcp host entry", errors.Conflict),
    ("is already defined", errors.Conflict),
    ("already in use", errors.Conflict),
    ("conflicts with an existing route", errors.Conflict),
)
_TRANSPORT: Final = frozenset({libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE})
_CONNECTION_CODES: Final = frozenset(
    {libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_NO_SERVER}
)


def translate(error: libvirt.libvirtError) -> errors.HypervisorError:
    """The one place that reads a `libvirtError`."""
    code, origin = error.get_error_code(), error.get_error_domain()
    text = error.get_error_message() or str(error)
    if code == libvirt.VIR_ERR_AUTH_FAILED:
        return _first(_TRUST_TEXTS, text, errors.AuthenticationFailed)(text)
    if code in _BY_CODE:
        return _BY_CODE[code](text)
    if origin in _TRANSPORT or code in _CONNECTION_CODES:
        return _first(_TRUST_TEXTS, text, errors.HostUnreachable)(text)
    return _first(_TEXTS, text, errors.Rejected)(text)


def _first(
    table: tuple[tuple[str, type[errors.HypervisorError]], ...],
    text: str,
    default: type[errors.HypervisorError],
) -> type[errors.HypervisorError]:
    return next((kind for part, kind in table if part in text), default)
