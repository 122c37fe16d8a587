"""The installation's small certificate authority and its SSH key, below the state directory.

One authority signs the web server's certificate, our client certificate for ``qemu+tls``, and the server
certificates of hosts. The files are made once and never replaced while they are valid.
"""

import datetime
import ipaddress
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.conf import settings

CA_DAYS = 3650
LEAF_DAYS = 825
RENEW_DAYS = 30
CLIENT_NAME = "cloudsite-control-plane"
INGEST_URI = "urn:cloudsite:ingest"
BACKEND_URI = "urn:cloudsite:backend"
AGENT_URI = "urn:cloudsite:host:"
ORGANISATION = "Cloudsite"


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate with its private key, both PEM."""

    certificate: str
    key: str


def pki_dir() -> Path:
    """The CA and the web server's certificate."""
    return Path(settings.STATE_DIR) / "pki"


def keys_dir() -> Path:
    """What we show to hosts: the SSH key, and ``tls/`` under the names that libvirt looks for."""
    return Path(settings.STATE_DIR) / "keys"


def ca_ensure() -> Path:
    """The CA's certificate, made with its key (0600) where it is missing."""
    path = pki_dir() / "ca.crt"
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Cloudsite CA")
        builder = _builder(name, name, key.public_key(), CA_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(ca=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        certificate = builder.sign(key, hashes.SHA256())
        write_whole(pki_dir() / "ca.key", _key_pem(key), mode=0o600)
        write_whole(path, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return path


def ca_fingerprint() -> str:
    """SHA-256 of the CA's certificate, with colons, as browsers show it."""
    certificate = x509.load_pem_x509_certificate((pki_dir() / "ca.crt").read_bytes())
    return ":".join(f"{byte:02X}" for byte in certificate.fingerprint(hashes.SHA256()))


def certificate_issue(*, common_name: str, names: Sequence[str] = (), server: bool) -> Issued:
    """A certificate of our CA. ``names`` are DNS names, IP addresses or URNs; that for libvirt's client has none."""
    return _issue(common_name, names, [ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH])


def _issue(common_name: str, names: Sequence[str], purposes: Sequence[x509.ObjectIdentifier]) -> Issued:
    ca_ensure()
    ca = x509.load_pem_x509_certificate((pki_dir() / "ca.crt").read_bytes())
    ca_key = serialization.load_pem_private_key((pki_dir() / "ca.key").read_bytes(), password=None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)  # noqa: S101  # we made it
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(common_name), ca.subject, key.public_key(), LEAF_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(ca=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_san(name) for name in names]), critical=False)
    certificate = builder.sign(ca_key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return Issued(certificate=pem, key=_key_pem(key).decode())


def web_certificate_ensure(*, names: Sequence[str]) -> None:
    """The web server's certificate for these names; made anew when they change or it is about to expire."""
    _ensure(pki_dir() / "web.crt", names, lambda: certificate_issue(common_name=names[0], names=names, server=True))


def ingest_certificate_ensure(*, names: Sequence[str]) -> None:
    """The server certificate of the ingest, under the names of the web server and as what it is."""
    known = [*names, INGEST_URI]
    _ensure(pki_dir() / "ingest.crt", known, lambda: certificate_issue(common_name=names[0], names=known, server=True))


def backend_certificate_ensure() -> None:
    """What we show to an agent's own API. It is no certificate for libvirt, which compares the whole name."""
    names = [BACKEND_URI]
    _ensure(
        keys_dir() / "backend.crt",
        names,
        lambda: certificate_issue(common_name="cloudsite-backend", names=names, server=False),
    )


def agent_certificate_issue(*, host_id: uuid.UUID, names: Sequence[str] = ()) -> Issued:
    """What the agent of a host shows to the ingest, and to us where it listens itself, under these names."""
    return _issue(
        f"agent {host_id}",
        [f"{AGENT_URI}{host_id}", *names],
        [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
    )


def agent_certificate_ensure(*, host_id: uuid.UUID, names: Sequence[str] = (), directory: Path) -> None:
    """The agent's certificate and key in a directory of this machine, as ``agent.crt`` and ``agent.key``."""
    known = [f"{AGENT_URI}{host_id}", *names]
    _ensure(directory / "agent.crt", known, lambda: agent_certificate_issue(host_id=host_id, names=names))


def _ensure(path: Path, names: Sequence[str], issue: Callable[[], Issued]) -> None:
    """Certificate and key beside it; made anew when the names change or it is about to expire."""
    if path.exists() and _covers(x509.load_pem_x509_certificate(path.read_bytes()), names):
        return
    issued = issue()
    write_whole(path.with_suffix(".key"), issued.key.encode(), mode=0o600)
    write_whole(path, issued.certificate.encode(), mode=0o644)


def client_certificate_ensure() -> None:
    """Our client certificate for ``qemu+tls``."""
    directory = keys_dir() / "tls"
    ca = ca_ensure().read_bytes()
    path = directory / "clientcert.pem"
    if path.exists() and _covers(x509.load_pem_x509_certificate(path.read_bytes()), ()):
        return
    issued = certificate_issue(common_name=CLIENT_NAME, server=False)
    write_whole(directory / "cacert.pem", ca, mode=0o644)
    write_whole(directory / "clientkey.pem", issued.key.encode(), mode=0o600)
    write_whole(path, issued.certificate.encode(), mode=0o644)


def ssh_key_ensure() -> str:
    """The public key that hosts accept, as one line; the pair is made where it is missing."""
    path = keys_dir() / "id_ed25519"
    public = path.with_suffix(".pub")
    if not public.exists():
        key = ed25519.Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        write_whole(path, private, mode=0o600)
        write_whole(public, line + b" cloudsite\n", mode=0o644)
    return public.read_text().strip()


def client_dn() -> str:
    """Our distinguished name in the order of the certificate, as ``tls_allowed_dn_list`` compares it."""
    return f"O={ORGANISATION},CN={CLIENT_NAME}"


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def _san(name: str) -> x509.GeneralName:
    if name.startswith("urn:"):
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=days))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    """libvirt 9.0 refuses a certificate that may not encipher keys, also for elliptic curves, which never do."""
    return x509.KeyUsage(
        digital_signature=not ca,
        key_encipherment=not ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _covers(certificate: x509.Certificate, names: Sequence[str]) -> bool:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=RENEW_DAYS)
    if certificate.not_valid_after_utc < soon:
        return False
    if not names:
        return True
    known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(known) == {_san(name) for name in names}


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    part.replace(path)
