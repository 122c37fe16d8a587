// Dialogs (phone menu, dangerous confirmations) and menus. Listens on the document, so that what htmx swaps in works.
(function () {
  "use strict";

  function matches(input) {
    const form = input.form;
    const button = form && form.querySelector("[data-confirm-button]");
    if (button) button.disabled = input.value.trim() !== input.dataset.confirmName;
  }

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open-dialog]");
    if (opener) {
      const dialog = document.getElementById(opener.dataset.openDialog);
      if (dialog) {
        event.preventDefault();
        const menu = opener.closest("details.menu");
        if (menu) menu.open = false;
        dialog.showModal();
        dialog.querySelectorAll("[data-confirm-name]").forEach(matches);
      }
    }
    const dialog = event.target.closest("dialog");
    if (dialog && (event.target === dialog || event.target.closest("[data-close-dialog]"))) {
      if (event.target.closest("a")) event.preventDefault(); // where it leads is for a page without a dialog
      dialog.close();
    }
    const closer = event.target.closest("[data-close-toast]");
    if (closer) closer.closest(".toast").remove();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  // What is to be confirmed on a page of its own, without a dialog.
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-confirm-name]").forEach(matches);
  });

  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-confirm-name]")) matches(event.target);
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
})();
