// The small picture of a machine's screen. Asked for when the page is there, then now and then while somebody looks.
(function () {
  "use strict";
  const AGAIN_MS = 10_000;
  const PENDING_MS = 1000;
  const MOST_PENDING = 15;
  const known = new WeakSet();

  function read(blob) {
    return new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(blob);
    });
  }

  async function show(box, answer) {
    const image = box.querySelector("img");
    const seen = answer.status === 200;
    if (seen) image.src = await read(await answer.blob());
    image.hidden = !seen;
    box.querySelector(".screen-note").hidden = seen;
  }

  async function look(box, pending) {
    if (!box.isConnected) return;
    let wait = AGAIN_MS;
    if (!document.hidden) {
      try {
        const answer = await fetch(box.dataset.thumbnail, { redirect: "manual" });
        if (!answer.ok) return;
        if (answer.status === 202 && pending < MOST_PENDING) wait = PENDING_MS;
        else await show(box, answer);
      } catch {
        // The page is left, or Cloudsite does not answer: live.js says the latter.
      }
    }
    setTimeout(look, wait, box, wait === PENDING_MS ? pending + 1 : 0);
  }

  function find() {
    for (const box of document.querySelectorAll("[data-thumbnail]")) {
      if (known.has(box)) continue;
      known.add(box);
      look(box, 0);
    }
  }

  document.addEventListener("DOMContentLoaded", find);
  document.addEventListener("htmx:afterSettle", find);
})();
