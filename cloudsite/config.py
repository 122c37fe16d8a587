"""The one typed settings model. Every value comes from the environment as ``CLOUDSITE_<NAME>``.

``DATABASE_URL`` and ``REDIS_URL`` keep their customary names. The list in ``docs/settings.md`` is
generated from this model, so a field's description is its documentation.
"""

from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict


class Config(BaseSettings):
    """Settings of one Cloudsite installation."""

    model_config = SettingsConfigDict(env_prefix="CLOUDSITE_", extra="ignore")

    state_dir: Path = Field(Path("/var/lib/cloudsite"), description="Where everything of this installation lives.")
    secret_key: SecretStr = Field(description="Django's secret key; `make run` makes one. At least 32 characters.")
    jwt_key: SecretStr = Field(description="Key that signs API tokens; never the same as the secret key.")
    database_url: str = Field(
        validation_alias="DATABASE_URL",
        description="PostgreSQL, as `postgresql://user:password@host:port/name`; else a private server is started.",
    )
    redis_url: str = Field(
        validation_alias="REDIS_URL",
        description="Redis, as `redis://…/0` or `unix:///path/redis.sock?db=0`; else a private server is started.",
    )
    debug: bool = Field(False, description="Django's debug pages. Never on a network.")
    bind: str = Field("127.0.0.1", description="Address of the plain HTTP port. Keep it on loopback.")
    port: int = Field(8420, ge=1, le=65535, description="Port of plain HTTP on loopback.")
    lan: Literal["on", "off"] = Field("on", description="HTTPS on the LAN address; `off` closes it.")
    lan_port: int = Field(8443, ge=1, le=65535, description="Port of HTTPS on the LAN address.")
    ingest_port: int = Field(
        8430,
        ge=1,
        le=65535,
        description="Port on which the agents of hosts report; on the LAN where HTTPS is. Ten above `CLOUDSITE_PORT`.",
    )
    tls_cert: Path | None = Field(None, description="Certificate (chain) for HTTPS instead of the one of our own CA.")
    tls_key: Path | None = Field(None, description="Private key that belongs to `CLOUDSITE_TLS_CERT`.")
    allowed_hosts: str = Field("", description="Further names under which the dashboard is reached, by comma.")
    trusted_proxies: int = Field(0, ge=0, le=5, description="Number of reverse proxies of yours in front of Cloudsite.")
    admin_password: SecretStr | None = Field(
        None, description="Password of the first `admin`; else a random one is shown."
    )
    worker_concurrency: int = Field(6, ge=1, le=64, description="Worker processes on this machine.")
    host_calls: int = Field(4, ge=1, le=32, description="Operations at the same time on one host.")
    snapshots_per_vm: int = Field(20, ge=1, le=200, description="Most snapshots of one VM.")
    trash_hours: int = Field(
        24, ge=0, le=8760, description="Hours that a deleted VM can be restored from the trash; 0 deletes at once."
    )
    time_scale: float = Field(1.0, gt=0, le=10, description="Factor on every time-out of the operation engine (tests).")
    default_policy: str = Field("balanced", description="Policy that places VMs for which none was chosen.")
    trace_days: int = Field(
        30, ge=0, description="Days that it can be read why a VM that is gone was placed where; 0 keeps it for ever."
    )
    placement_days: int = Field(
        365, ge=0, description="Days that it is known where a VM that is gone was placed; 0 keeps it for ever."
    )
    metrics_raw_hours: int = Field(
        48, ge=2, le=744, description="Hours that the samples of hosts and VMs are kept as they came."
    )
    metrics_minute_days: int = Field(7, ge=2, le=400, description="Days that their values by minute are kept.")
    metrics_five_minute_days: int = Field(
        30, ge=2, le=4000, description="Days that their values by five minutes are kept."
    )
    metrics_hour_days: int = Field(400, ge=2, le=10000, description="Days that their values by hour are kept.")
    policy_dir: Path | None = Field(
        None, description="Directory of policies as YAML files, read when Cloudsite starts; none unless set."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    hypervisor: Literal["libvirt", "fake"] = Field(
        "libvirt", description="Driver; `fake` is for tests of Cloudsite itself."
    )
    upload_limit_mib: int = Field(
        20480, ge=1, description="Largest image file, MiB: uploaded, fetched, unpacked or converted."
    )
    image_disk_limit_gib: int = Field(1024, ge=1, description="Largest disk that an image may hold, GiB.")
    image_keep_days: int = Field(
        7, ge=0, description="Days that a host keeps a copy of an image that none of its VMs uses; 0 keeps it for ever."
    )
    import_http: bool = Field(False, description="Whether images may be fetched over plain HTTP.")
    import_ports: str = Field("443,80", description="Ports that images may be fetched from, by comma.")
    import_networks: str = Field(
        "", description="Networks (CIDR, by comma) that images may be fetched from although they are not public."
    )

    @field_validator("secret_key", "jwt_key")
    @classmethod
    def long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("import_ports")
    @classmethod
    def are_ports(cls, value: str) -> str:
        if not all(part.strip().isdigit() and 0 < int(part) < 65536 for part in value.split(",")):
            raise ValueError("must be port numbers, separated by commas")
        return value

    @field_validator("import_networks")
    @classmethod
    def are_networks(cls, value: str) -> str:
        for part in filter(None, (part.strip() for part in value.split(","))):
            ip_network(part)
        return value

    @field_validator("database_url")
    @classmethod
    def is_postgresql(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("postgresql", "postgres"):
            raise ValueError("must start with postgresql://")
        return value

    @field_validator("redis_url")
    @classmethod
    def is_redis(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must start with redis://, rediss:// or unix://")
        given = parse_qs(url.query).get("db", ["0"])[-1] if url.scheme == "unix" else url.path.lstrip("/")
        if given and not given.isdigit():
            raise ValueError("must name the database by its number")
        return value

    @cached_property
    def database(self) -> dict[str, Any]:
        """`DATABASE_URL` as Django's database entry; `?host=` names a directory with a Unix socket."""
        url = urlsplit(self.database_url)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(url.path.lstrip("/")) or "cloudsite",
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "HOST": query.pop("host", url.hostname or ""),
            "PORT": str(url.port or query.pop("port", "")),
            "OPTIONS": query,
        }

    @cached_property
    def redis_database(self) -> int:
        """The first of the two Redis databases that are ours: the broker's. The cache has the next one."""
        url = urlsplit(self.redis_url)
        given = parse_qs(url.query).get("db", ["0"])[-1] if url.scheme == "unix" else url.path.lstrip("/")
        return int(given or "0")

    @cached_property
    def cache_url(self) -> str:
        """Redis for Django's cache."""
        url = urlsplit(self.redis_url)
        if url.scheme == "unix":
            return f"unix://{url.path}?db={self.redis_database + 1}"
        return url._replace(path=f"/{self.redis_database + 1}").geturl()

    @cached_property
    def broker_url(self) -> str:
        """Redis for Celery, in its spelling (`redis+socket://` for a Unix socket)."""
        url = urlsplit(self.redis_url)
        if url.scheme == "unix":
            return f"redis+socket://{url.path}?virtual_host={self.redis_database}"
        return url._replace(path=f"/{self.redis_database}").geturl()


def load() -> Config:
    """The settings of this process. Raises ``ImproperlyConfigured`` with one sentence for each wrong variable.

    Without its value, which may be a secret.
    """
    try:
        return Config()  # type: ignore[call-arg]  # values come from the environment
    except ValidationError as error:
        raise ImproperlyConfigured("\n".join(map(_sentence, error.errors()))) from None


def _sentence(error: ErrorDetails) -> str:
    field = str(error["loc"][0])
    name = field if field.isupper() else f"CLOUDSITE_{field.upper()}"
    return f"{name} cannot be used: {error['msg'].removeprefix('Value error, ')}."
