"""Graphs in a real Chromium: drawn, kept current, and said why when there are none."""

import math
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from apps.metrics.batch import Batch
from apps.metrics.services import samples_store
from tests.dashboard.looks import PHONE

pytestmark = pytest.mark.django_db(transaction=True)
Open = Callable[..., Page]
GIB = 2**30


def report(host: Any, vm: Any, ages: list[int]) -> None:
    """What a busy host says, so many seconds ago."""
    now = datetime.now(UTC)
    samples = []
    for age in sorted(ages, reverse=True):
        wave = (1 + math.sin(age / 200)) / 2
        seen = {
            "cpu": 0.2 + 0.6 * wave,
            "iowait": 0.05 * wave,
            "memory_total": 24.0 * GIB,
            "memory_available": (20 - 6 * wave) * GIB,
            "swap_used": 0.0,
            "disk_read": 4e6 * wave,
            "disk_write": 9e6 * (1 - wave),
            "net_receive": 2e5 * wave,
            "net_transmit": 1e6 * wave,
            "watts": 20 + 30 * wave,
        }
        guest = {name: value for name, value in seen.items() if name.startswith(("cpu", "disk", "net"))}
        guest |= {
            "memory": 300.0 * 2**20,
            "memory_total": 512.0 * 2**20,
            "memory_available": (100 + 200 * wave) * 2**20,
        }
        samples.append({"at": now.timestamp() - age, "host": seen, "guests": {str(vm.pk): guest}})
    for begin in range(0, len(samples), 120):
        content = {"version": 1, "agent": "0.1.0", "sent_at": now.timestamp(), "samples": samples[begin : begin + 120]}
        samples_store(host_id=host.pk, batch=Batch.model_validate(content, strict=False), now=now)


def told(page: Page, graph: str, key: str) -> str:
    """The value in a legend."""
    item = page.locator(f'[data-graph="{graph}"] .graph-key', has_text=key)
    return item.locator("b").inner_text()


def drawn(page: Page, graphs: int, status: str) -> None:
    """That many pictures are there, and nothing is wrong with the page."""
    expect(page.locator("#graphs canvas")).to_have_count(graphs)
    expect(page.locator("[data-graphs=status]")).to_have_text(status)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def keep(page: Page, name: str) -> None:
    if shots := os.environ.get("CLOUDSITE_SHOTS"):
        page.screenshot(path=Path(shots) / f"graphs-{name}.png", full_page=True)


def test_on_a_phone(open_as: Open, admin: Any, make_vm: Any, host: Any) -> None:
    vm = make_vm(admin, "web-1")
    report(host, vm, [age for age in range(0, 3000, 20) if not 1200 < age < 1700])
    page = open_as(admin, f"/vms/{vm.pk}/graphs/", viewport=PHONE, color_scheme="dark")
    page.get_by_role("button", name="6 hours").click()
    drawn(page, 4, "Averages of 30 s.")
    keep(page, "phone-dark")
    assert told(page, "memory", "On the host").startswith("300")
    label = page.locator('[data-graph="cpu"] [data-graph-view]').get_attribute("aria-label")
    assert label is not None and label.startswith("CPU over time. Highest 0.")


def test_on_a_desk(open_as: Open, admin: Any, make_vm: Any, host: Any) -> None:
    """Why there are none; then there are some, one is looked at more closely, and left again."""
    page = open_as(admin, f"/hosts/{host.pk}/")
    missing = page.get_by_text("No agent has reported from this host yet")
    expect(missing).to_be_visible()
    expect(page.locator("#graphs canvas").first).to_be_hidden()
    keep(page, "none")
    report(host, make_vm(admin, "web-1"), [age for age in range(0, 3000, 20) if not 1200 < age < 1700])
    page.get_by_role("button", name="6 hours").click()
    expect(missing).to_be_hidden()
    drawn(page, 5, "Averages of 30 s.")
    assert told(page, "cpu", "Busy").endswith(" %")
    keep(page, "desktop-light")
    page.locator('[data-graph="cpu"]').scroll_into_view_if_needed()
    box = page.locator('[data-graph="cpu"] .u-over').bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 60, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 60, steps=4)
    page.mouse.up()
    back = page.get_by_role("button", name="Back to now")
    expect(back).to_be_visible()
    expect(page.locator("[data-graphs=status]")).to_have_text("Averages of 10 s.")
    keep(page, "closer")
    back.click()
    expect(back).to_be_hidden()
    expect(page.locator("[data-graphs=status]")).to_have_text("Averages of 30 s.")
    expect(page.get_by_role("button", name="6 hours")).to_have_attribute("aria-pressed", "true")
