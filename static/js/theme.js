// Light or dark before the first paint: this script blocks, and is small for that reason.
// Without a choice of the user's, the style sheet follows the system.
(function () {
  "use strict";
  const KEY = "cloudsite-theme";
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function apply(theme) {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  }

  function isDark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  }

  function label(button) {
    button.setAttribute("aria-pressed", String(isDark()));
  }

  apply(stored());

  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      label(button);
      system.addEventListener("change", () => label(button));
      button.addEventListener("click", () => {
        const theme = isDark() ? "light" : "dark";
        apply(theme);
        label(button);
        try {
          localStorage.setItem(KEY, theme);
        } catch {
          // A browser that stores nothing keeps the choice until the next page.
        }
      });
    }
  });
})();
