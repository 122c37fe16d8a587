// The page "Console" of a machine: fetches a ticket, opens the WebSocket with it, and hands the rest to the terminal
// or to the screen. What is said about the connection stands in one line above it.
const PROTOCOL = "cloudsite.console.v1";
const SEEN_MS = [2500, 7500]; // by then the watch has written down that it is off, and the page can say so
const AGAIN_MS = [1000, 2000, 4000, 8000, 15000];
// With these codes trying again by itself helps nobody, or takes the console away from somebody.
const FINAL = new Set([4401, 4403, 4404, 4408, 4409, 4410, 4415, 4429, 4501]);

export function start(open) {
  const panel = document.getElementById("console");
  const part = (name) => panel.querySelector(`[data-console="${name}"]`);
  const isRunning = () => document.querySelector("[data-console-open]") !== null;
  const view = open(part("view"), panel);
  let socket = null;
  let tries = 0;
  let timer = 0;

  function say(text, { state = "busy", button = false } = {}) {
    part("status").textContent = text;
    panel.dataset.state = state;
    part("connect").hidden = !button;
  }

  async function connect() {
    clearTimeout(timer);
    say(tries ? "Connecting again…" : "Connecting…");
    let issued;
    try {
      issued = await ticket(panel);
    } catch (refusal) {
      return ended(refusal.message, refusal.final);
    }
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${issued.path}`, [PROTOCOL, `ticket.${issued.ticket}`]);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", first);
    socket.addEventListener("close", (event) => closed(event));
  }

  function first(event) {
    if (typeof event.data !== "string") return;
    const news = JSON.parse(event.data);
    if (news.event === "open") {
      tries = 0;
      say("Connected", { state: "open" });
      view.attach(socket);
    } else if (news.event === "skipped") {
      view.skipped(news.bytes);
    }
  }

  function closed(event) {
    socket = null;
    view.detach();
    ended(event.reason || "The connection was lost.", FINAL.has(event.code));
  }

  function ended(text, final) {
    if (final || tries >= AGAIN_MS.length) {
      say(text, { state: "closed", button: true });
      // Perhaps because it is off now: the stream may have broken before anybody said so.
      for (const pause of SEEN_MS) setTimeout(look, pause);
      return;
    }
    const pause = AGAIN_MS[tries++];
    say(`${text} Trying again in ${pause / 1000} s.`, { state: "closed", button: true });
    timer = setTimeout(connect, pause);
  }

  function look() {
    document.body.dispatchEvent(new Event("returned"));
  }

  function again() {
    tries = 0;
    connect();
  }

  // The part of the page that follows the machine says when it runs again; there is nothing to see before.
  function follow() {
    const hidden = panel.hidden;
    panel.hidden = !isRunning() && panel.dataset.state !== "open";
    if (hidden && !panel.hidden) again();
  }

  part("connect").addEventListener("click", again);
  document.addEventListener("htmx:afterSettle", follow);
  part("paste").addEventListener("submit", () => {
    const text = part("text");
    panel.dispatchEvent(new CustomEvent("console:paste", { detail: text.value }));
    text.value = "";
  });
  part("full").addEventListener("click", () => toggleFull(panel));
  panel.addEventListener("fullscreenchange", () => view.fit());
  new ResizeObserver(() => view.fit()).observe(part("view"));
  // Leaving the page is no reason to come back.
  addEventListener("pagehide", () => {
    tries = AGAIN_MS.length;
    if (socket) socket.close();
  });
  panel.hidden = !isRunning();
  if (!panel.hidden) connect();
}

async function ticket(panel) {
  const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
  let answer;
  try {
    answer = await fetch(panel.dataset.tickets, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": token },
      body: JSON.stringify({ kind: panel.dataset.kind }),
    });
  } catch {
    throw new Refusal("Cloudsite does not answer.", false);
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(body.detail || "Cloudsite gave no ticket.", answer.status < 500);
  return body;
}

class Refusal extends Error {
  constructor(message, final) {
    super(message);
    this.final = final;
  }
}

function toggleFull(panel) {
  if (document.fullscreenElement) document.exitFullscreen();
  else panel.requestFullscreen();
}
