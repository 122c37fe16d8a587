"""The configuration of the agent on the machine that Cloudsite runs on."""

import json
from pathlib import Path
from typing import Any

from cryptography import x509
from django.core.management import call_command

from apps.hosts.models import Host


def test_it_names_the_host_that_this_machine_is(own_state_dir: Path, make_host: Any) -> None:
    host = make_host("here", transport="local", address="")
    directory = own_state_dir / "agent"
    call_command("ensure_local_agent")
    configuration = json.loads((directory / "agent.json").read_text())
    assert configuration["ingest"] == "https://127.0.0.1:8430"
    certificate = Path(configuration["certificate"]).read_bytes()
    names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:cloudsite:host:{host.pk}"]
    assert all(Path(configuration[name]).exists() for name in ("ca", "key"))
    assert (directory / "agent.key").stat().st_mode & 0o077 == 0
    call_command("ensure_local_agent")
    assert Path(configuration["certificate"]).read_bytes() == certificate
    Host.objects.all().delete()
    call_command("ensure_local_agent")
    assert not (directory / "agent.json").exists()
