// Choosing many lines of a list: all of a page, a range with Shift, and how many are chosen.
//
// The list is replaced every two seconds while something happens, so what is chosen is kept here and ticked again in
// what was swapped in. What is not in the list any more is not chosen any more: nobody deletes what they cannot see.
(function () {
  "use strict";
  const chosen = new Map(); // the name of the boxes: the values that are ticked
  let last = null; // the box that was clicked last, by its id

  function boxes(name) {
    return [...document.querySelectorAll(`input[type=checkbox][name="${name}"][value]`)];
  }

  function show(name) {
    const all = boxes(name);
    const number = all.filter((box) => box.checked).length;
    chosen.set(name, new Set(all.filter((box) => box.checked).map((box) => box.value)));
    for (const every of document.querySelectorAll(`[data-choose-all="${name}"]`)) {
      every.checked = number > 0 && number === all.length;
      every.indeterminate = number > 0 && number < all.length;
    }
    for (const text of document.querySelectorAll(`[data-chosen-of="${name}"]`)) {
      const words = `${number} chosen`;
      if (text.textContent !== words) text.textContent = words;
    }
  }

  function restore() {
    for (const part of document.querySelectorAll("[data-choose-all-shown]")) part.hidden = false;
    const names = new Set([...document.querySelectorAll("[data-choose-all]")].map((every) => every.dataset.chooseAll));
    for (const text of document.querySelectorAll("[data-chosen-of]")) names.add(text.dataset.chosenOf);
    for (const name of names) {
      const kept = chosen.get(name);
      if (kept) for (const box of boxes(name)) box.checked = kept.has(box.value);
      show(name);
    }
  }

  function choose(name, yes) {
    for (const box of boxes(name)) box.checked = yes;
    show(name);
  }

  // From the box before to this one, as it was set.
  function range(box) {
    const all = boxes(box.name);
    const [from, to] = [all.findIndex((other) => other.id === last), all.indexOf(box)].sort((a, b) => a - b);
    if (from >= 0) for (const between of all.slice(from, to + 1)) between.checked = box.checked;
  }

  document.addEventListener("click", (event) => {
    const box = event.target.closest("input[type=checkbox][name][form]");
    if (!box || !chosen.has(box.name)) return;
    if (event.shiftKey && last) range(box);
    last = box.id;
    show(box.name);
  });
  document.addEventListener("change", (event) => {
    const every = event.target.closest("[data-choose-all]");
    if (every) choose(every.dataset.chooseAll, every.checked);
  });
  document.addEventListener("reset", (event) => {
    const none = event.target.querySelector("[data-choose-none]");
    if (none) setTimeout(() => choose(none.dataset.chooseNone, false));
  });

  // A dialog opens as soon as it is filled. When what it tells is done, nothing is chosen any more.
  document.addEventListener("htmx:afterSwap", (event) => {
    const panel = event.detail.target;
    const dialog = panel.id && document.querySelector(`dialog[data-filled-by="${panel.id}"]`);
    if (dialog) {
      if (!dialog.open) dialog.showModal();
      for (const input of dialog.querySelectorAll("[data-confirm-name]")) {
        input.dispatchEvent(new Event("input", { bubbles: true }));
      }
      const first = dialog.querySelector("input[type=text]") || dialog.querySelector("h2");
      if (first) first.focus();
      const none = dialog.querySelector("form[data-choose-none]");
      if (none) choose(none.dataset.chooseNone, false);
    }
    restore();
  });
  document.addEventListener("DOMContentLoaded", restore);
  window.addEventListener("pageshow", restore);
})();
