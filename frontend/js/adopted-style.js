// xterm.js writes its colours and sizes into <style> elements, which our content security policy refuses. The build
// has it make this element instead, whose text becomes a constructed style sheet: the policy allows those.
class AdoptedStyle extends HTMLElement {
  #sheet = new CSSStyleSheet();

  connectedCallback() {
    if (!document.adoptedStyleSheets.includes(this.#sheet)) document.adoptedStyleSheets.push(this.#sheet);
  }

  disconnectedCallback() {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== this.#sheet);
  }

  set textContent(text) {
    this.#sheet.replaceSync(text);
  }

  get textContent() {
    return "";
  }
}

customElements.define("adopted-style", AdoptedStyle);
