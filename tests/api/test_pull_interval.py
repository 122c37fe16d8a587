"""How often a host is read: a setting of each host, its limits, and what a policy's freshness makes of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.hosts.models import Host
from tests.api.answers import problem_of

FRESH = "{name: f, filters: {fresh_within_s: 30}, score: [{metric: vms}]}"


def test_is_set_and_takes_effect_at_once(api_for: Any, admin: Any, make_host: Any) -> None:
    client, host = api_for(admin), make_host(pull_at=timezone.now() + timedelta(hours=1))
    path = f"/api/v1/hosts/{host.pk}/"
    assert client.get(path).json()["pull_interval_s"] == 10
    plan = client.patch(f"{path}?dry_run=true", {"pull_interval_s": 60}, format="json").json()["plan"]
    assert plan["changes"] == ["set pull_interval_s to 60"]
    assert client.patch(path, {"pull_interval_s": 60}, format="json").json()["pull_interval_s"] == 60
    assert Host.objects.get().pull_at is None
    wish = {"vcpus": 1, "memory_mib": 256, "disk_gib": 2, "policy_text": FRESH}
    Host.objects.update(observed_at=timezone.now() - timedelta(seconds=41))
    said = client.post("/api/v1/placements/explain/", wish, format="json").json()
    words = said["verdicts"][0]["words"]
    assert words == "h1 rejected: its data is too old (read 41 s ago, may be 30 s, and it is read every 60 s only)"
    assert said["smallest_changes"][0]["words"] == "read h1 every 30 s or more often"
    client.patch(path, {"pull_interval_s": 5}, format="json")
    said = client.post("/api/v1/placements/explain/", wish, format="json").json()
    assert said["verdicts"][0]["words"] == "h1 rejected: its data is too old (read 41 s ago, may be 30 s)"


@pytest.mark.parametrize(
    ("value", "status"), [(4, 422), (3601, 422), (0, 422), (-1, 422), ("x", 400), (None, 400), (1e400, 400), (2.5, 400)]
)
def test_nonsense(api_for: Any, admin: Any, host: Any, value: Any, status: int) -> None:
    body = '{"pull_interval_s": 1e400}' if value == 1e400 else None
    path, client = f"/api/v1/hosts/{host.pk}/", api_for(admin)
    answer = (
        client.patch(path, body, content_type="application/json")
        if body
        else client.patch(path, {"pull_interval_s": value}, format="json")
    )
    assert problem_of(answer, status)["errors"][0]["field"] == "pull_interval_s" or value == 1e400
    assert Host.objects.get().pull_interval_s == 10
