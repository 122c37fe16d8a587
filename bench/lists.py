"""B7: lists of thousands of VMs over the SQL for the same rows. Needs Django set up (``surroundings.inside``)."""

import os
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import psycopg
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.compute.models import VM, DesiredPower, Nic, Phase, Power
from apps.hosts.models import Host, HostStatus
from apps.network.models import Network
from apps.storage.models import Image
from bench.figures import Limit, Line, Result, Sample, milliseconds
from bench.surroundings import Say
from tests.client import PASSWORD
from tests.cloud import Cloud

PAGE = 50
WARM_UP = 10
SEARCHED = "-049"
MOST_P50, MOST_P99, AIM_P50 = 0.012, 0.040, 0.008
COLUMNS = """
SELECT v.id, v.name, v.phase, v.reason, v.power, v.missing, v.observed_at, v.desired_power, h.name, h.status, v.size_id,
       v.vcpus, v.memory_mib, v.disk_gib, i.name, v.observed_addresses, v.protected, v.start_on_boot, v.tags, v.notes,
       v.created_at, (SELECT json_agg(n.ip) FROM compute_nic n WHERE n.vm_id = v.id)
FROM compute_vm v LEFT JOIN hosts_host h ON h.id = v.host_id LEFT JOIN storage_image i ON i.id = v.image_id
"""
ORDER = f" ORDER BY v.created_at DESC, v.id DESC LIMIT {PAGE}"  # the limit is a number of ours
FIRST = COLUMNS + ORDER
LAST = COLUMNS + " WHERE (v.created_at, v.id) <= (%s, %s)" + ORDER
SEARCH = COLUMNS + " WHERE v.name ILIKE %s" + ORDER


@dataclass(frozen=True, kw_only=True)
class Door:
    """One way to ask for rows: through us, and as SQL. ``rows`` is how many must come back."""

    work: str
    ask: Callable[[], httpx.Response]
    query: str
    values: tuple[Any, ...]
    rows: int


def measure(cloud: Cloud, *, vms: int, requests: int, say: Say) -> Result:
    """Only the web process runs, as all others are idle; requests and SQL take turns."""
    for name in ("worker", "beat", "watch"):
        cloud.kill(name)
    say(f"writing {vms} rows")
    _fill(vms)
    page = _signed_in_page(cloud)
    cursor = _last_cursor(cloud, vms)
    oldest = VM.objects.order_by("created_at", "id")[PAGE - 1]
    lines: list[Line] = []
    notes: list[str] = []
    cpu: list[str] = []
    with psycopg.connect(cloud.postgres.url, autocommit=True) as raw:
        for door in _doors(cloud, page, cursor, oldest):
            say(f"{door.work}: {requests} requests")
            before = _cpu(cloud)
            lines.append(_line(door, raw, requests))
            cpu.append(f"{door.work} {milliseconds((_cpu(cloud) - before) / (requests + WARM_UP))}")
    page.close()
    notes.append(f"Lists: processor time of the web process per request: {'; '.join(cpu)}.")
    notes.append(f"Lists: the least that this server answers, GET /healthz: {_floor(cloud, requests).tail()}.")
    notes.append(f"Lists: SQL statements in one request at {vms} VMs: {_queries()}.")
    return Result(lines=lines, notes=notes, checked=_check(cloud, vms))


def _doors(cloud: Cloud, page: httpx.Client, cursor: str, oldest: VM) -> list[Door]:
    def api(**query: str) -> Callable[[], httpx.Response]:
        return lambda: cloud.http.get("vms/", params=query)

    def html(**query: str) -> Callable[[], httpx.Response]:
        return lambda: page.get("/vms/", params=query)

    position = (oldest.created_at, oldest.pk)
    match = (f"%{SEARCHED}%",)
    known = VM.objects.filter(name__contains=SEARCHED).count()
    found = min(PAGE, known)
    return [
        Door(work="API, first page", ask=api(), query=FIRST, values=(), rows=PAGE),
        Door(work="API, last page", ask=api(cursor=cursor), query=LAST, values=position, rows=PAGE),
        Door(work="API, search", ask=api(search=SEARCHED), query=SEARCH, values=match, rows=found),
        Door(work="page, first", ask=html(), query=FIRST, values=(), rows=PAGE),
        Door(work="page, last", ask=html(cursor=cursor), query=LAST, values=position, rows=PAGE),
        Door(work="page, search", ask=html(q=SEARCHED), query=SEARCH, values=match, rows=found),
    ]


def _line(door: Door, raw: "psycopg.Connection[tuple[Any, ...]]", requests: int) -> Line:
    ours, peer = [], []
    for turn in range(requests + WARM_UP):
        begin = time.perf_counter()
        answer = door.ask()
        between = time.perf_counter()
        found = raw.execute(door.query, door.values).fetchall()
        end = time.perf_counter()
        shown = len(set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", answer.text)))
        if answer.status_code != 200 or len(found) != door.rows or shown < door.rows:
            raise RuntimeError(f"{door.work}: {answer.status_code}, {shown} of {door.rows} VMs; SQL {len(found)}")
        if turn >= WARM_UP:  # the first ones warm both up
            ours.append(between - begin)
            peer.append(end - between)
    mine, sql = Sample(ours), Sample(peer)
    met = mine.median <= MOST_P50 and mine.percentile(99) <= MOST_P99
    return Line(
        work=f"list of VMs, {door.work} ({len(answer.content) // 1024} KiB)",
        ours=mine.tail(),
        peer=f"SQL {sql.tail()}",
        ratio=f"{mine.median / sql.median:.1f}",
        must=Limit(text="p50 ≤ 12, p99 ≤ 40 ms", met=met),
        moonshot=Limit(text="p50 ≤ 8 ms", met=mine.median <= AIM_P50),
    )


def _cpu(cloud: Cloud) -> float:
    """Seconds of processor time that the web process has used: what a busy machine does not blur."""
    fields = Path(f"/proc/{cloud.processes['web'].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _floor(cloud: Cloud, requests: int) -> Sample:
    times = []
    for _ in range(requests):
        begin = time.perf_counter()
        cloud.http.get(f"{cloud.url}/healthz")
        times.append(time.perf_counter() - begin)
    return Sample(times)


def _fill(number: int) -> None:
    """Rows as they are in an installation of this size: ten hosts, one address each, all kinds of states."""
    owner, image = User.objects.get(username="admin"), Image.objects.get(name="tiny")
    hosts = Host.objects.bulk_create(
        Host(name=f"list-{index}", transport="tls", address=f"list-{index}.example", status=HostStatus.UP)
        for index in range(10)
    )
    networks = Network.objects.bulk_create(
        Network(host=host, name="default", libvirt_name="cs-list", cidr="10.9.0.0/16", bridge="cs-list")
        for host in hosts
    )
    powers = (Power.RUNNING, Power.RUNNING, Power.RUNNING, Power.SHUTOFF, Power.PAUSED)
    vms = [
        VM(
            owner=owner, name=f"web-{index:05d}", created_name=f"web-{index:05d}", host=hosts[index % 10], image=image,
            vcpus=1, memory_mib=512, disk_gib=10, phase=Phase.READY, power=powers[index % 5],
            desired_power=DesiredPower.ON, tags=["web", f"group-{index % 7}"],
        )
        for index in range(number)
    ]  # fmt: skip
    VM.objects.bulk_create(vms, batch_size=1000)
    cards = []
    for index, vm in enumerate(vms):
        mac, ip = (
            f"52:54:02:{index >> 16:02x}:{index >> 8 & 255:02x}:{index & 255:02x}",
            f"10.9.{index >> 8}.{index & 255}",
        )
        cards.append(Nic(vm=vm, network=networks[index % 10], mac=mac, ip=ip))
    Nic.objects.bulk_create(cards, batch_size=1000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE compute_vm, compute_nic")


def _signed_in_page(cloud: Cloud) -> httpx.Client:
    """A browser's session."""
    client = httpx.Client(base_url=cloud.url, timeout=30)
    client.get("/sign-in/")
    body = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    answer = client.post("/sign-in/", data=body, headers={"Referer": cloud.url})
    if answer.status_code != 302:
        raise RuntimeError(f"signing in answered {answer.status_code}")
    return client


def _last_cursor(cloud: Cloud, number: int) -> str:
    """The cursor of the page with the oldest rows, found as a client finds it."""
    seen, cursor = 0, ""
    while number - seen > PAGE:
        step = min(200, number - PAGE - seen)
        answer = cloud.get(f"vms/?limit={step}" + (f"&cursor={cursor}" if cursor else ""))
        seen += len(answer["results"])
        cursor = parse_qs(urlsplit(answer["next"]).query)["cursor"][0]
    return cursor


def _queries() -> str:
    """Counted in this process, with the same code and rows, at 50 and at 200 rows a page."""
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(User.objects.get(username="admin"), backend="django.contrib.auth.backends.ModelBackend")
    counts = []
    for work, path in (("API", "/api/v1/vms/"), ("API with 200 rows", "/api/v1/vms/?limit=200"), ("page", "/vms/")):
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(path)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}")
        counts.append(f"{work} {len(queries)}")
    return ", ".join(counts)


def _check(cloud: Cloud, number: int) -> list[str]:
    """Walking all pages shows each VM once; the web process has not even loaded libvirt."""
    seen: list[str] = []
    path = "vms/?limit=200"
    while path:
        answer = cloud.get(path)
        seen += [vm["id"] for vm in answer["results"]]
        path = "vms/?" + urlsplit(answer["next"]).query if answer["next"] else ""
    if len(seen) != number or len({uuid.UUID(vm_id) for vm_id in seen}) != number:
        raise RuntimeError(f"walking the list shows {len(set(seen))} of {number} VMs in {len(seen)} rows")
    maps = Path(f"/proc/{cloud.processes['web'].pid}/maps").read_text()
    if "libvirt" in maps:
        raise RuntimeError("the web process has loaded libvirt")
    return [
        f"Lists: walking the pages shows each of the {number} VMs once.",
        "Lists: no libvirt call in a request: the web process has not loaded libvirt.",
    ]
