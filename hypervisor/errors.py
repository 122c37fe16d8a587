"""What a host can answer besides "done".

    HypervisorError
    ├── HostUnreachable          retry; the outcome of the call is unknown until the host has been read again
    │   └── HostBusy             retry; nothing was sent: too many calls to this host are still unanswered
    ├── TrustError               a person has to decide
    │   ├── HostKeyChanged       the SSH host key is not the pinned one
    │   ├── CertificateRejected  one side refused the other's TLS certificate
    │   └── AuthenticationFailed the host does not accept our key, or our user may not use libvirt
    └── Rejected                 the host answered, and the answer is no
        ├── NotFound
        ├── OutOfSpace           storage
        ├── OutOfMemory
        ├── Conflict             the object exists and differs in a way that is not ours to change
        ├── ForeignObject        the object carries no mark of this installation
        ├── StaleFence           somebody newer has already acted on this domain
        ├── GuestSilent          no agent in the guest answers: it has none, or it is not up yet
        ├── SetupIncomplete      something has to be installed, started or permitted on the host first
        └── Unsupported          this host's libvirt or QEMU cannot do it

`retryable` says whether the same call may succeed later without anybody changing anything.
`code` is stable and safe to show; `detail` is the host's own text, for the log and the operation.
"""

from typing import ClassVar


class HypervisorError(Exception):
    """Base of everything this package raises on purpose."""

    code: ClassVar[str] = "hypervisor-error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def __reduce__(self) -> tuple[type["HypervisorError"], tuple[str]]:
        return type(self), (self.detail,)


class HostUnreachable(HypervisorError):
    code = "host-unreachable"
    retryable = True


class HostBusy(HostUnreachable):
    code = "host-busy"


class TrustError(HypervisorError):
    code = "host-trust"


class HostKeyChanged(TrustError):
    code = "host-key-changed"


class CertificateRejected(TrustError):
    code = "host-certificate-rejected"


class AuthenticationFailed(TrustError):
    code = "host-authentication-failed"


class Rejected(HypervisorError):
    code = "host-rejected"


class NotFound(Rejected):
    code = "not-found-on-host"


class OutOfSpace(Rejected):
    code = "host-out-of-space"


class OutOfMemory(Rejected):
    code = "host-out-of-memory"


class Conflict(Rejected):
    code = "host-conflict"


class ForeignObject(Rejected):
    code = "foreign-object"


class StaleFence(Rejected):
    code = "stale-fence"


class Unsupported(Rejected):
    code = "unsupported-by-host"


class GuestSilent(Rejected):
    code = "guest-silent"


class SetupIncomplete(Rejected):
    code = "host-setup-incomplete"
