// The graphs on the pages of hosts and machines: fetches what was measured, draws it with uPlot, and keeps it current
// while somebody looks. Dragging over a graph asks for that time alone, which is finer.
import { draw } from "./graph.js";
import { PICTURES } from "./pictures.js";

const AGAIN_S = [10, 60];

function start(panel) {
  const part = (name) => panel.querySelector(`[data-graphs="${name}"]`);
  const kind = panel.dataset.kind;
  const limits = { vcpus: Number(panel.dataset.vcpus) };
  const graphs = [...panel.querySelectorAll("[data-graph]")].map((figure) =>
    draw(figure, PICTURES[kind][figure.dataset.graph], limits, zoom),
  );
  const names = [...new Set(Object.values(PICTURES[kind]).flatMap((picture) => picture.needs))].join(",");
  let range = 3600;
  let fixed = null; // [from, to] while somebody looks at a part
  let timer = 0;
  let asked = 0;

  function window_() {
    const now = Date.now() / 1000;
    return fixed ?? [now - range, now];
  }

  async function load() {
    clearTimeout(timer);
    const turn = ++asked;
    const [from, to] = window_();
    panel.setAttribute("aria-busy", "true");
    let wait = AGAIN_S[1];
    try {
      const query = new URLSearchParams({ from: from.toFixed(3), to: to.toFixed(3), series: names });
      const answer = await fetch(`${panel.dataset.metrics}?${query}`);
      if (turn !== asked) return;
      if (!answer.ok) throw new Error((await answer.json()).detail);
      const found = await answer.json();
      if (turn !== asked) return;
      show(found, from, to);
      wait = Math.min(Math.max(found.step, AGAIN_S[0]), AGAIN_S[1]);
    } catch (error) {
      if (turn !== asked) return;
      say(error instanceof TypeError || error instanceof SyntaxError ? "Cloudsite does not answer at the moment." : error.message);
    }
    panel.setAttribute("aria-busy", "false");
    if (!fixed) timer = setTimeout(again, wait * 1000);
  }

  function again() {
    if (!panel.isConnected) return;
    if (document.hidden) timer = setTimeout(again, 1000);
    else load();
  }

  function show(found, from, to) {
    const silent = found.agent === null;
    part("empty").hidden = !silent;
    part("grid").hidden = silent;
    if (silent) return say("");
    for (const graph of graphs) graph.show(found, from, to);
    const points = found.step < 60 ? `${found.step} s` : found.step < 3600 ? `${found.step / 60} min` : `${found.step / 3600} h`;
    const old = Date.now() / 1000 - Date.parse(found.agent.last_at) / 1000;
    const late = old > 60 ? ` The agent reported last at ${new Date(found.agent.last_at).toLocaleString()}.` : "";
    say(`Averages of ${points}.${late}`);
  }

  function say(text) {
    if (part("status").textContent !== text) part("status").textContent = text;
  }

  function zoom(from, to) {
    fixed = [from, Math.max(to, from + 10)];
    part("back").hidden = false;
    load();
  }

  for (const button of panel.querySelectorAll("[data-range]")) {
    button.addEventListener("click", () => {
      range = Number(button.dataset.range);
      back();
    });
  }

  function back() {
    fixed = null;
    if (document.activeElement === part("back")) panel.querySelector(`[data-range="${range}"]`).focus();
    part("back").hidden = true;
    for (const button of panel.querySelectorAll("[data-range]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.range) === range));
    }
    load();
  }

  part("back").addEventListener("click", back);
  load();
}

for (const panel of document.querySelectorAll("[data-metrics]")) start(panel);
