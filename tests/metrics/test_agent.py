"""The agent that is shipped, and the ingest: they understand each other."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.hosts import certificates
from apps.metrics.models import Reporter
from tests.metrics.test_ingest import port as port
from tests.waiting import wait_for

CODE = Path(settings.BASE_DIR) / "agents" / "host"


@pytest.mark.django_db(transaction=True)
def test_it_reports(port: int, own_state_dir: Path, host: Any, kept: Callable[..., Any]) -> None:
    directory = own_state_dir / "agent"
    certificates.agent_certificate_ensure(host_id=host.pk, directory=directory)
    files = {"ca": certificates.ca_ensure(), "certificate": directory / "agent.crt", "key": directory / "agent.key"}
    configuration = {name: str(path) for name, path in files.items()}
    configuration |= {"ingest": f"https://127.0.0.1:{port}", "state_dir": str(directory / "state")}
    (directory / "agent.json").write_text(json.dumps(configuration))
    command = [sys.executable, "-m", "cloudsite_agent", "--config", str(directory / "agent.json")]
    agent = subprocess.Popen(command, cwd=CODE, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: len(kept("host", "raw", host.pk)) > 1, seconds=60, what="two samples")
    finally:
        agent.terminate()
        said = agent.communicate(timeout=20)[1]
    last = kept("host", "raw", host.pk)[-1]
    assert 0 <= last["cpu"] <= 1, said
    assert last["memory_total"] > last["memory_available"] > 0
    assert len(last["cores"]) == os.cpu_count()
    reporter = Reporter.objects.get(host=host)
    assert reporter.agent and reporter.boot_id
    assert abs(reporter.skew_seconds) < 60
