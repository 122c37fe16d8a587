// The editor of policies: line numbers beside the text, wrong lines marked, and from a problem to its line.
(function () {
  "use strict";
  const frame = document.querySelector("[data-editor]");
  const area = frame && frame.querySelector("textarea");
  if (!area) return;
  const gutter = document.createElement("div");
  gutter.className = "editor-gutter";
  gutter.setAttribute("aria-hidden", "true");
  frame.prepend(gutter);

  function number() {
    const lines = area.value.split("\n").length;
    while (gutter.children.length > lines) gutter.lastChild.remove();
    while (gutter.children.length < lines) {
      const line = document.createElement("span");
      line.textContent = String(gutter.children.length + 1);
      gutter.append(line);
    }
  }

  function mark() {
    const wrong = new Set([...document.querySelectorAll("[data-problem-line]")].map((item) => item.dataset.problemLine));
    for (const line of gutter.children) line.classList.toggle("editor-wrong", wrong.has(line.textContent));
    const refused = document.querySelector("#policy-problems .field-error");
    area.setAttribute("aria-invalid", refused ? "true" : "false");
    area.setAttribute("aria-describedby", "policy-problems");
  }

  function follow() {
    gutter.scrollTop = area.scrollTop;
  }

  function goTo(line, column) {
    const before = area.value.split("\n").slice(0, line - 1);
    const from = before.reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
    area.focus();
    area.setSelectionRange(from, from);
    const height = area.scrollHeight / Math.max(1, area.value.split("\n").length);
    area.scrollTop = Math.max(0, (line - 4) * height);
    follow();
  }

  area.addEventListener("input", () => {
    number();
    follow();
  });
  area.addEventListener("scroll", follow);
  document.addEventListener("htmx:afterSettle", mark);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-go-to-line]");
    if (button) goTo(Number(button.dataset.goToLine), Number(button.dataset.column));
  });
  number();
  mark();
})();
