"""apt with its own lists and its own cache: it sees Debian's sources only and changes nothing on the machine.

The machine's apt.conf stays in force (a proxy, a CA file), as the owner set it for this very purpose.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imagebuild.errors import BuildError
from imagebuild.process import run
from imagebuild.sources import Source

UPDATE_SECONDS = 180
DOWNLOAD_SECONDS = 600
LANGUAGES = "Acquire::Languages"


@dataclass(frozen=True, kw_only=True)
class Apt:
    """A private apt below `root`."""

    root: Path

    @classmethod
    def create(cls, root: Path, *, sources: Iterable[Source], architecture: str = "") -> "Apt":
        """Write the configuration below `root` and fetch the package lists, of another architecture if asked."""
        for name in ("lists/partial", "archives/partial", "parts"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "sources.list").write_text("".join(f"{source.line()}\n" for source in sources))
        other = f'APT::Architecture "{architecture}";\nAPT::Architectures {{ "{architecture}"; }};\n'
        (root / "apt.conf").write_text(_configuration(root) + (other if architecture else ""))
        apt = cls(root=root)
        apt._run("apt-get", "update", timeout=UPDATE_SECONDS)
        return apt

    def download(self, packages: Iterable[str], *, target: Path) -> list[Path]:
        """Download packages (not what they depend on), verified by apt, into `target`."""
        target.mkdir(parents=True, exist_ok=True)
        self._run("apt-get", "download", *packages, timeout=DOWNLOAD_SECONDS, cwd=target)
        return sorted(target.glob("*.deb"))

    def depends(self, package: str) -> list[str]:
        """Names of the packages that the candidate version of `package` depends on directly."""
        shown = self._run("apt-cache", "depends", "--no-recommends", "--no-suggests", package, timeout=60)
        return [line.split(":", 1)[1].strip() for line in shown.splitlines() if line.strip().startswith("Depends:")]

    def transport_options(self) -> list[str]:
        """The machine's settings of how to fetch (proxies, CAs, retries), as lines of an apt.conf.

        For a build only: they must not end up in what is built.
        """
        dumped = self._run("apt-config", "dump", timeout=30).splitlines()
        return [line for line in dumped if line.startswith("Acquire::") and not line.startswith(LANGUAGES)]

    def _run(self, program: str, *arguments: str, timeout: float, cwd: Path | None = None) -> str:
        return run([program, *arguments], timeout=timeout, env={"APT_CONFIG": str(self.root / "apt.conf")}, cwd=cwd)


def unpack(packages: Iterable[Path], *, target: Path) -> None:
    """Extract the content of packages below `target`; no maintainer script runs."""
    for package in packages:
        run(["dpkg-deb", "-x", package, target], timeout=120)


def kernel_package(apt: Apt, *, metapackage: str) -> str:
    """The versioned kernel package behind a metapackage such as linux-image-cloud-amd64."""
    for name in apt.depends(metapackage):
        if name.startswith("linux-image-"):
            return name
    raise BuildError(f"{metapackage} depends on no kernel package")


def _configuration(root: Path) -> str:
    return f"""
Dir::Etc::SourceList "{root}/sources.list";
Dir::Etc::SourceParts "{root}/parts";
Dir::State::Lists "{root}/lists";
Dir::Cache::Archives "{root}/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "root";
APT::Get::List-Cleanup "false";
Acquire::Languages "none";
Acquire::Retries "3";
"""
