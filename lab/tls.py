"""Files that make libvirtd listen for TLS clients: certificates, the port and who may come in."""

import re
from pathlib import Path

CA = "pki/CA/cacert.pem"
CERTIFICATE = "pki/libvirt/servercert.pem"
KEY = "pki/libvirt/private/serverkey.pem"
LIBVIRTD_CONF = "libvirt/libvirtd.conf"
_SETTINGS = re.compile(r"^(listen_tls|listen_tcp|listen_addr|tls_port|tls_allowed_dn_list)\s*=.*\n", re.MULTILINE)


def install(etc: Path, *, ca: str, certificate: str, key: str) -> None:
    """Put the certificates where libvirt looks for them; the key is readable by root only."""
    for place, content, mode in ((CA, ca, 0o644), (CERTIFICATE, certificate, 0o644), (KEY, key, 0o600)):
        path = etc / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=mode)
        path.chmod(mode)
        path.write_text(content)


def allow(etc: Path, *, dn: str, address: str, port: int) -> None:
    """Listen on `address` for clients whose certificate has the distinguished name `dn`, and for no other."""
    path = etc / LIBVIRTD_CONF
    kept = _SETTINGS.sub("", path.read_text())
    path.write_text(
        f'{kept}listen_tls = 1\nlisten_tcp = 0\nlisten_addr = "{address}"\n'
        f'tls_port = "{port}"\ntls_allowed_dn_list = ["{dn}"]\n'
    )


def forbid(etc: Path) -> None:
    """Listen for nobody."""
    path = etc / LIBVIRTD_CONF
    path.write_text(_SETTINGS.sub("", path.read_text()))


def enabled(etc: Path) -> bool:
    """Whether libvirtd has to be started so that it listens."""
    return re.search(r"^listen_tls = 1$", (etc / LIBVIRTD_CONF).read_text(), re.MULTILINE) is not None
