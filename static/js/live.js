// What keeps pages fresh beside htmx: a tab that comes back asks again, good news leaves by itself,
// and a failed request says so instead of leaving a page that looks alive.
(function () {
  "use strict";
  const GOOD_NEWS_MS = 7000;

  function fade(root) {
    for (const toast of root.querySelectorAll(".toast-success:not([data-fading]), .toast-info:not([data-fading])")) {
      toast.dataset.fading = "";
      setTimeout(() => toast.remove(), GOOD_NEWS_MS);
    }
  }

  function offline(yes) {
    const notice = document.getElementById("offline");
    if (notice) notice.hidden = !yes;
  }

  // On a phone the tabs are wider than the screen: the current one is moved into sight.
  function showTab() {
    const tab = document.querySelector(".tab[aria-current]");
    const bar = tab && tab.parentElement;
    if (bar) bar.scrollLeft = tab.offsetLeft - bar.offsetLeft - (bar.clientWidth - tab.clientWidth) / 2;
  }

  document.addEventListener("DOMContentLoaded", () => {
    fade(document);
    showTab();
  });
  document.addEventListener("htmx:afterSettle", () => {
    showTab();
    fade(document);
    offline(false);
  });
  // A menu that is open, or a field that somebody types in, must not be swapped away under their hands. A check box
  // may: htmx gives the focus back to the one with the same id, and choose.js ticks it again.
  function inUse(part) {
    const hands = "details.menu[open], select:focus, textarea:focus, input:not([type=checkbox]):focus";
    return part.matches("[data-live]") && part.querySelector(hands);
  }

  // What was chosen or typed there before is carried over to the control with the same id.
  const CONTROLS = "select[id], textarea[id], input[id]:not([type=checkbox], [type=radio], [type=hidden], [type=file])";
  let carried = [];

  function untouched(control) {
    if (!control.matches("select")) return control.defaultValue;
    const first = [...control.options].find((option) => option.defaultSelected) || control.options[0];
    return first ? first.value : "";
  }

  function carry(part) {
    const touched = [...part.querySelectorAll(CONTROLS)].filter((control) => control.value !== untouched(control));
    carried = touched.map((control) => [control.id, control.value]);
  }

  function putBack() {
    for (const [id, value] of carried) {
      const control = document.getElementById(id);
      if (control && (!control.options || [...control.options].some((option) => option.value === value))) control.value = value;
    }
    carried = [];
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (inUse(event.detail.elt)) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, requestConfig } = event.detail;
    if (requestConfig.elt !== target) return;
    if (inUse(target)) event.detail.shouldSwap = false;
    else if (target.matches("[data-live]")) carry(target);
  });
  document.addEventListener("htmx:afterSwap", putBack);
  document.addEventListener("htmx:sendError", () => offline(true));
  document.addEventListener("htmx:timeout", () => offline(true));
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (status === 401 || status === 403) location.reload();
    else if (status >= 500) offline(true);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") document.body.dispatchEvent(new Event("returned"));
  });
})();
