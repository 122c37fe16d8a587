"""A lab host can be made to speak TLS: to the client it was told about, and to nobody else."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lab import Host
from lab.process import run

pytestmark = pytest.mark.lab


class Authority:
    """A certificate authority of openssl's making."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate = directory / "ca.pem"
        subject = ["-subj", "/CN=Lab CA", "-days", "2", "-nodes"]
        self._openssl("req", "-x509", "-newkey", "rsa:2048", *subject, keyout="ca.key", out="ca.pem")

    def issue(self, name: str, *, san: str = "", usage: str) -> tuple[Path, Path]:
        """A certificate for the common name `name`, and its key."""
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"extendedKeyUsage={usage}\n" + (f"subjectAltName={san}\n" if san else ""))
        subject = ["-subj", f"/O=Cloudsite/CN={name}", "-nodes"]
        self._openssl("req", "-newkey", "rsa:2048", *subject, keyout=f"{name}.key", out=f"{name}.csr")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        signing += ["-in", f"{name}.csr", "-extfile", extensions.name]
        self._openssl("x509", "-req", *signing, out=f"{name}.pem")
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"

    def _openssl(self, *arguments: str, **files: str) -> None:
        named = [part for key, value in files.items() for part in (f"-{key}", value)]
        run(["env", "-C", self.directory, "openssl", *arguments, *named])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def tls_host(lab_hosts: Sequence[Host], authority: Authority) -> Iterator[Host]:
    host = lab_hosts[1]
    certificate, key = authority.issue("server", san=f"IP:{host.address}", usage="serverAuth")
    host.install_tls(
        ca_cert=authority.certificate.read_text(),
        server_cert=certificate.read_text(),
        server_key=key.read_text(),
        allowed_dn="O=Cloudsite,CN=controller",
    )
    yield host
    host.remove_tls()


def ask(host: Host, authority: Authority, *, name: str) -> str:
    """What virsh says as the client `name`, standard error included."""
    certificate, key = authority.issue(name, usage="clientAuth")
    directory = authority.directory / f"pki-{name}"
    directory.mkdir()
    for source, target in (
        (authority.certificate, "cacert.pem"),
        (certificate, "clientcert.pem"),
        (key, "clientkey.pem"),
    ):
        (directory / target).write_text(source.read_text())
    uri = f"qemu+tls://{host.address}:{host.tls_port}/system?pkipath={directory}"
    done = run(["virsh", "--quiet", "--connect", uri, "hostname"], check=False)
    return done.stdout + done.stderr


def test_the_allowed_client_comes_in(tls_host: Host, authority: Authority) -> None:
    assert ask(tls_host, authority, name="controller").strip() == tls_host.name


def test_another_client_of_the_same_authority_does_not(tls_host: Host, authority: Authority) -> None:
    assert tls_host.name not in ask(tls_host, authority, name="stranger")


def test_it_still_listens_after_a_reboot(tls_host: Host, authority: Authority) -> None:
    tls_host.reboot()
    assert f"{tls_host.address}:{tls_host.tls_port}" in tls_host.run("ss", "-Hltn").stdout
