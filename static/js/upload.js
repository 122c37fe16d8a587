// Sends the file of an image in pieces, each where the last one ended, and goes on by itself after an interruption.
// The server alone says how much is here, so a page that is opened again goes on as well.
(function () {
  "use strict";
  const PIECE = 16 * 2 ** 20;
  const ATTEMPTS = 12; // in a row without a byte of progress; with the waits between them, over two minutes
  const PASSING = new Set([0, 408, 429, 500, 502, 503, 504]);
  const QCOW2 = "QFI\xfb";
  const form = document.querySelector("form[data-upload]");
  const panel = document.getElementById("upload-progress");
  const refused = document.getElementById("upload-refused");
  const input = document.getElementById("upload-file");
  if (!form || !panel || !refused || !input) return;
  const bar = panel.querySelector("progress");
  const api = "/api/v1/images/";
  let running = null; // the request of this moment
  let stopped = false;

  class Refusal extends Error {}

  function part(name) {
    return document.querySelector(`[data-upload-show="${name}"]`);
  }

  function size(bytes) {
    const units = ["B", "KiB", "MiB", "GiB"];
    let unit = 0;
    for (; bytes >= 1024 && unit < 3; unit += 1) bytes /= 1024;
    return `${bytes.toFixed(unit ? 1 : 0)} ${units[unit]}`;
  }

  // One request; status 0 is a connection that broke.
  function ask(method, path, { body = null, headers = {}, onprogress = null } = {}) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      request.open(method, path);
      request.setRequestHeader("Accept", "application/json");
      if (method !== "GET") request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      if (onprogress) request.upload.addEventListener("progress", onprogress);
      request.addEventListener("loadend", () => {
        let answer = {};
        try {
          answer = JSON.parse(request.responseText);
        } catch {
          // Not from Cloudsite itself, or nothing at all: the status says enough.
        }
        resolve({ status: request.status, answer });
      });
      running = request;
      request.send(body);
    });
  }

  function label(field) {
    const control = form.elements[field];
    const words = control && control.labels && control.labels[0];
    return words ? `${words.firstChild.textContent.trim()}: ` : "";
  }

  function reason({ status, answer }) {
    if (status === 401 || status === 403) {
      return answer.detail || "You are not signed in any more. Sign in again, then go on from the image's page.";
    }
    const errors = (answer.errors || []).map((error) => label(error.field) + error.detail);
    return errors.join(" ") || answer.detail || (status ? `The server answered ${status}.` : "Cloudsite does not answer.");
  }

  function wish(file) {
    const body = { size_bytes: file.size };
    for (const control of form.elements) {
      const silent = !control.name || ["hidden", "radio", "submit", "file"].includes(control.type);
      if (silent || control.closest("[hidden]")) continue;
      const text = control.value.trim();
      if (control.type === "checkbox") body[control.name] = control.checked;
      else if (text) body[control.name] = control.type === "number" ? Number(text) : text;
    }
    return body;
  }

  async function check(file, format) {
    if (!file.size) throw new Refusal("The file is empty.");
    const start = await file.slice(0, 4).arrayBuffer();
    if (format === "qcow2" && String.fromCharCode(...new Uint8Array(start)) !== QCOW2) {
      throw new Refusal("This file is not a qcow2 image. Choose its format, or convert it with qemu-img first.");
    }
  }

  async function begin(file) {
    const headers = { "Content-Type": "application/json" };
    const made = await ask("POST", api, { body: JSON.stringify(wish(file)), headers });
    if (made.status !== 201) throw new Refusal(reason(made));
    history.replaceState(null, "", `/images/${made.answer.image.id}/`); // a reload leads to where it can go on
    return made.answer.image;
  }

  const meter = {
    from: 0,
    since: 0,
    show(sent, total) {
      const seconds = (performance.now() - this.since) / 1000;
      const rate = seconds > 1 ? (sent - this.from) / seconds : 0;
      bar.value = sent / total;
      const left = rate ? Math.ceil((total - sent) / rate) : 0;
      const time = left > 90 ? `${Math.ceil(left / 60)} min left` : `${left} s left`;
      part("amount").textContent =
        `${size(sent)} of ${size(total)} · ${Math.floor((100 * sent) / total)} %` +
        (rate ? ` · ${size(rate)}/s · ${time}` : "");
    },
    begin(sent) {
      this.from = sent;
      this.since = performance.now();
    },
  };

  async function wait(attempt) {
    const seconds = Math.min(2 ** attempt, 15);
    part("status").textContent = `Interrupted. Trying again in ${seconds} s.`;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }

  // Where to go on; null once the server waits for nothing more.
  async function whereNow(image, file) {
    const found = await ask("GET", `${api}${image.id}/`);
    if (found.status !== 200) return PASSING.has(found.status) ? undefined : Promise.reject(new Refusal(reason(found)));
    const { status, received_bytes: received, expected_bytes: expected } = found.answer;
    if (status !== "uploading") return null;
    if (expected !== null && expected !== file.size) {
      throw new Refusal(`This is another file: ${expected} bytes were announced, it has ${file.size}.`);
    }
    return { received, piece: expected === null ? file.size : PIECE };
  }

  async function sendPiece(image, file, { received, piece }) {
    const body = file.slice(received, received + piece);
    return ask("PUT", `${api}${image.id}/file/`, {
      body,
      headers: { "Content-Type": "application/octet-stream", "Upload-Offset": String(received) },
      onprogress: (event) => meter.show(received + Math.min(event.loaded, body.size), file.size),
    });
  }

  async function send(image, file) {
    let attempt = 0;
    let furthest = -1;
    while (!stopped) {
      const now = await whereNow(image, file);
      if (now === null) return;
      if (now) {
        if (now.received > furthest) attempt = 0;
        furthest = Math.max(furthest, now.received);
        meter.show(now.received, file.size);
        part("status").textContent = "Uploading";
        const sent = await sendPiece(image, file, now);
        if (sent.status === 202) return;
        const waits = sent.status === 409 && ["image.offset", "image.upload_in_flight"].some((code) => sent.answer.type?.endsWith(code));
        if (sent.status === 200) continue;
        if (!waits && !PASSING.has(sent.status)) throw new Refusal(reason(sent));
        if (attempt >= ATTEMPTS) throw new Refusal(`${reason(sent)} Go on later from the image's page.`);
      } else if (attempt >= ATTEMPTS) throw new Refusal("Cloudsite does not answer. Go on later from the image's page.");
      attempt += 1;
      if (!stopped) await wait(attempt);
      meter.begin(Math.max(furthest, 0));
    }
  }

  function warn(event) {
    event.preventDefault();
  }

  function fail(error, image) {
    part("reason").textContent = error instanceof Refusal ? error.message : `The file cannot be read: ${error.message}`;
    const further = part("further");
    further.hidden = !image || Boolean(form.dataset.upload);
    if (image) further.querySelector("a").href = `/images/${image.id}/`;
    panel.hidden = true;
    form.hidden = Boolean(image) && !form.dataset.upload;
    refused.hidden = false;
    refused.focus();
  }

  async function upload(file) {
    let image = form.dataset.upload ? { id: form.dataset.upload } : null;
    refused.hidden = true;
    try {
      await check(file, form.dataset.format || form.elements.format?.value);
      image = image || (await begin(file));
      window.addEventListener("beforeunload", warn);
      part("name").textContent = file.name;
      form.hidden = true;
      panel.hidden = false;
      meter.begin(0);
      await send(image, file);
      window.removeEventListener("beforeunload", warn);
      location.assign(`/images/${image.id}/`);
    } catch (error) {
      window.removeEventListener("beforeunload", warn);
      fail(error, image);
    }
  }

  input.addEventListener("change", () => {
    const announced = form.elements.size_bytes;
    if (announced) announced.value = input.files.length ? input.files[0].size : "";
  });

  form.addEventListener("submit", (event) => {
    const way = form.querySelector("[name=way]:checked");
    if (way && way.value !== "upload") return;
    event.preventDefault();
    if (input.files.length) upload(input.files[0]);
    else fail(new Refusal("Choose a file."), null);
  });

  panel.querySelector("[data-upload-stop]").addEventListener("click", () => {
    stopped = true;
    part("status").textContent = "Stopping";
    if (running) running.abort();
  });
})();
