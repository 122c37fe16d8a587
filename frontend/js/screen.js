// The screen, by noVNC over the socket that is open already.
import RFB from "@novnc/novnc";
import keysyms from "../node_modules/@novnc/novnc/core/input/keysymdef.js";

const RETURN = 0xff0d;
const TAB = 0xff09;
const BETWEEN_KEYS_MS = 12; // a firmware's or boot loader's keyboard loses what comes faster

export function openScreen(view, panel) {
  let rfb = null;
  let early = [];
  let scaled = true;

  function apply() {
    if (!rfb) return;
    rfb.scaleViewport = scaled;
    rfb.clipViewport = !scaled;
    rfb.dragViewport = !scaled;
  }

  async function type(text) {
    for (const letter of text.replaceAll("\r\n", "\n")) {
      if (!rfb) return;
      const keysym = letter === "\n" ? RETURN : letter === "\t" ? TAB : keysyms.lookup(letter.codePointAt(0));
      rfb.sendKey(keysym, null);
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_KEYS_MS));
    }
  }

  panel.addEventListener("click", (event) => {
    const button = event.target.closest("[data-console]");
    if (!button || !rfb) return;
    if (button.dataset.console === "ctrl-alt-del") rfb.sendCtrlAltDel();
    else if (button.dataset.console === "scale") {
      scaled = !scaled;
      button.setAttribute("aria-pressed", String(scaled));
      apply();
    } else return;
    rfb.focus();
  });
  panel.addEventListener("console:paste", (event) => type(event.detail));

  return {
    attach(socket) {
      const background = getComputedStyle(view).backgroundColor;
      rfb = new RFB(view, socket, { shared: true });
      rfb.background = background;
      rfb.focusOnClick = true;
      rfb.addEventListener("connect", () => {
        panel.dataset.picture = "";
        rfb.focus();
      });
      rfb.addEventListener("disconnect", () => delete panel.dataset.picture);
      apply();
    },
    detach() {
      rfb = null;
    },
    skipped() {},
    fit() {},
  };
}
