// The serial console in xterm.js. A serial line has no size to tell the guest; the terminal takes the room there is.
import "./adopted-style.js";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";

const SIZES = { least: 9, normal: 14, most: 26 };
const PIECE = 2048;
const REMEMBERED = "cloudsite.console.font";
const KEYS = { esc: "\x1b", tab: "\t", up: "\x1b[A", down: "\x1b[B", right: "\x1b[C", left: "\x1b[D" };

export function openTerminal(view, panel) {
  const terminal = new Terminal({
    cursorBlink: true,
    convertEol: false,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--font-mono"),
    fontSize: Number(localStorage.getItem(REMEMBERED)) || SIZES.normal,
    minimumContrastRatio: 4.5,
    scrollback: 5000,
    theme: colours(),
  });
  const fitter = new FitAddon();
  terminal.loadAddon(fitter);
  terminal.open(view);
  fitter.fit();
  let socket = null;
  let control = false;

  function send(text) {
    if (!socket || socket.readyState !== WebSocket.OPEN) return;
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; at += PIECE) socket.send(bytes.slice(at, at + PIECE));
  }

  function receive(event) {
    if (typeof event.data !== "string") terminal.write(new Uint8Array(event.data));
  }

  terminal.onData((text) => {
    send(control ? asControl(text) : text);
    setControl(false);
  });
  terminal.onBinary((text) => socket && socket.send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  // Ctrl-C is the guest's unless something is selected; copy and paste with Shift work as in other terminals.
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.type !== "keydown" || !event.ctrlKey) return true;
    const letter = event.key.toLowerCase();
    if (letter === "c" && (event.shiftKey || terminal.hasSelection())) {
      copy();
      event.preventDefault();
      return false;
    }
    return !(letter === "v" && event.shiftKey); // the browser's own paste, which xterm takes
  });

  function copy() {
    const text = terminal.getSelection();
    if (navigator.clipboard) navigator.clipboard.writeText(text);
    else document.execCommand("copy");
    terminal.clearSelection();
  }

  function setControl(on) {
    control = on;
    panel.querySelector('[data-key="ctrl"]').setAttribute("aria-pressed", String(on));
  }

  function grow(step) {
    const size = Math.min(SIZES.most, Math.max(SIZES.least, terminal.options.fontSize + step));
    terminal.options.fontSize = size;
    localStorage.setItem(REMEMBERED, String(size));
    fitter.fit();
  }

  panel.addEventListener("click", (event) => {
    const button = event.target.closest("[data-key], [data-console]");
    if (!button) return;
    if (button.dataset.key === "ctrl") setControl(!control);
    else if (button.dataset.key) send(KEYS[button.dataset.key]);
    else if (button.dataset.console === "smaller") grow(-1);
    else if (button.dataset.console === "larger") grow(1);
    else if (button.dataset.console === "copy") copy();
    else return;
    terminal.focus();
  });
  panel.addEventListener("console:paste", (event) => terminal.paste(event.detail));
  onTheme(() => (terminal.options.theme = colours()));

  return {
    attach(opened) {
      socket = opened;
      socket.addEventListener("message", receive);
      terminal.focus();
    },
    detach() {
      socket = null;
    },
    skipped(bytes) {
      terminal.write(`\r\n\x1b[0m\x1b[7m ${bytes} bytes came too fast and were skipped \x1b[0m\r\n`);
    },
    fit() {
      fitter.fit();
    },
  };
}

function asControl(text) {
  const letter = text.toUpperCase();
  return /^[@-_]$/.test(letter) ? String.fromCharCode(letter.charCodeAt(0) & 31) : text;
}

function colours() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const of = (name) => {
    probe.style.color = `var(--color-${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    background: of("terminal"),
    foreground: of("ink"),
    cursor: of("accent"),
    cursorAccent: of("terminal"),
    selectionBackground: of("accent-soft"),
    selectionForeground: of("ink"),
  };
  probe.remove();
  return found;
}

function onTheme(act) {
  new MutationObserver(act).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", act);
}
