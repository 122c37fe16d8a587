// Forms: focus on the first wrong field, one submission only, fields that belong to one choice, files into text.
(function () {
  "use strict";

  function showBelonging(root) {
    for (const part of root.querySelectorAll("[data-shown-for]")) {
      const [name, value] = part.dataset.shownFor.split("=");
      const chosen = document.querySelector(`[name="${name}"]:checked, select[name="${name}"]`);
      part.hidden = !chosen || !value.split("|").includes(chosen.value);
    }
  }

  // Where a time zone is asked for and none was given, that of this browser.
  function fillTimeZone() {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    for (const input of document.querySelectorAll("[data-own-time-zone]")) if (zone) input.value = zone;
  }

  document.addEventListener("DOMContentLoaded", () => {
    showBelonging(document);
    fillTimeZone();
    const wrong = document.querySelector('[aria-invalid="true"]');
    if (wrong) wrong.focus();
  });

  document.addEventListener("change", (event) => {
    showBelonging(document);
    const input = event.target;
    if (input.matches("input[type=file][data-read-into]") && input.files.length) {
      const field = document.getElementById(input.dataset.readInto);
      input.files[0].text().then((text) => {
        field.value = text;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      });
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });

  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
})();
