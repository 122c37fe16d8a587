"""Looking at a page as people do: on a desk and on a phone, in the light and in the dark, after one load of it."""

import os
from collections.abc import Sequence
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
Look = tuple[dict[str, int], str]

BOTH: tuple[Look, ...] = ((DESKTOP, "light"), (PHONE, "dark"))
ALL: tuple[Look, ...] = (BOTH[0], (DESKTOP, "dark"), BOTH[1], (PHONE, "light"))

SETTLED = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const busy = ".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added";
  await document.fonts.ready;
  do {
    await frame();
    await frame();
    const ending = document.getAnimations().filter((each) => each.effect.getComputedTiming().endTime < Infinity);
    await Promise.all(ending.map((each) => each.finished.catch(() => null)));
  } while (document.querySelector(busy));
}"""  # what is being replaced is pale, colours change slowly, and axe reads them


def looks_right(page: Page, name: str = "", *, looks: Sequence[Look] = ALL) -> None:
    """No finding of axe, and nothing wider than the window. ``CLOUDSITE_SHOTS`` names a directory for pictures."""
    for viewport, scheme in looks:
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.evaluate(SETTLED)
        seen = f"{name or page.url}, {viewport['width']} px, {scheme}"
        if shots := os.environ.get("CLOUDSITE_SHOTS"):
            title = (name or page.url.split("/", 3)[3]).strip("/").replace("/", "-") or "overview"
            page.screenshot(
                path=Path(shots) / f"{title}-{scheme}-{viewport['width']}.png", full_page=True, caret="initial"
            )
        found = Axe().run(page)
        assert found.violations_count == 0, f"{seen}\n{found.generate_report()}"
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, f"{seen}: {width} px too wide"
