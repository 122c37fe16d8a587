// Copies the text of the element that a button names. Works without HTTPS too, where browsers have no clipboard API.
(function () {
  "use strict";

  function copyBySelection(text) {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      copyBySelection(text);
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    const source = button && document.getElementById(button.dataset.copy);
    if (!source) return;
    await copy(source.textContent.trim());
    button.dataset.copied = "";
    button.setAttribute("aria-label", "Copied");
    button.focus();
    setTimeout(() => {
      delete button.dataset.copied;
      button.setAttribute("aria-label", "Copy");
    }, 2000);
  });
})();
