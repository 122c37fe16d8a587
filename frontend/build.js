// Builds everything that is committed from here: the style sheet, the font, the icons and VENDOR.txt.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const ROOT = process.argv[2] ?? ".."; // where static/ and templates/ are written; a test builds elsewhere and compares
const ICONS = readFileSync("icons.txt", "utf8").split("\n").filter(Boolean);
const ICON_DIR = `${ROOT}/templates/icons`;
const FONT = "inter-latin-wght-normal.woff2";

function version(name) {
  return JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version;
}

function buildIcons() {
  mkdirSync(ICON_DIR, { recursive: true });
  for (const old of readdirSync(ICON_DIR)) rmSync(`${ICON_DIR}/${old}`);
  for (const name of ICONS) {
    const source = readFileSync(`node_modules/heroicons/24/outline/${name}.svg`, "utf8");
    const body = source.replace(/^[\s\S]*?<svg[^>]*>/, "").replace(/<\/svg>\s*$/, "").replace(/\n\s*/g, "");
    const attributes = 'viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.6" aria-hidden="true"';
    writeFileSync(`${ICON_DIR}/${name}.svg`, `<svg class="icon" ${attributes}>${body}</svg>\n`);
  }
}

function buildFont() {
  mkdirSync(`${ROOT}/static/fonts`, { recursive: true });
  copyFileSync(`node_modules/@fontsource-variable/inter/files/${FONT}`, `${ROOT}/static/fonts/${FONT}`);
}

function buildStyles() {
  const program = "node_modules/.bin/tailwindcss";
  execFileSync(program, ["-i", "css/app.css", "-o", `${ROOT}/static/css/app.css`, "--minify"], { stdio: "inherit" });
}

// xterm.js makes <style> elements and style attributes, which the content security policy refuses.
const withinPolicy = {
  name: "within-policy",
  setup(building) {
    building.onLoad({ filter: /xterm\.mjs$/ }, ({ path }) => {
      let source = readFileSync(path, "utf8");
      for (const [from, to, times] of [
        ['createElement("style")', 'createElement("adopted-style")', 3],
        ['t.setAttribute("style",`${t.getAttribute("style")||""}${e};`)', "t.style.cssText+=`${e};`", 1],
      ]) {
        const parts = source.split(from);
        if (parts.length !== times + 1) throw new Error(`${path}: ${parts.length - 1} times ${from}`);
        source = parts.join(to);
      }
      return { contents: source, loader: "js" };
    });
  },
};

async function buildConsoles() {
  const out = `${ROOT}/static/js/console`;
  const entries = { serial: "js/serial.js", vnc: "js/vnc.js" };
  const options = { bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "none" };
  const banner = { js: "/* Made from frontend/js with what VENDOR.txt names; licences beside this file. */" };
  await build({ ...options, entryPoints: entries, outdir: out, plugins: [withinPolicy], banner, logLevel: "warning" });
  copyFileSync("css/console.css", `${out}/console.css`);
  copyFileSync("node_modules/@xterm/xterm/css/xterm.css", `${out}/xterm.css`);
  copyFileSync("node_modules/@xterm/xterm/LICENSE", `${out}/LICENSE-xterm.txt`);
  copyFileSync("node_modules/@novnc/novnc/LICENSE.txt", `${out}/LICENSE-novnc.txt`);
}

async function buildGraphs() {
  const out = `${ROOT}/static/js/graphs`;
  const options = { bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "none" };
  const banner = { js: "/* Made from frontend/js with what VENDOR.txt names; licence beside this file. */" };
  await build({ ...options, entryPoints: ["js/graphs.js"], outdir: out, banner, logLevel: "warning" });
  copyFileSync("css/graphs.css", `${out}/graphs.css`);
  copyFileSync("node_modules/uplot/dist/uPlot.min.css", `${out}/uplot.css`);
  copyFileSync("node_modules/uplot/LICENSE", `${out}/LICENSE-uplot.txt`);
}

function writeVendorList() {
  const sum = createHash("sha256").update(readFileSync(`${ROOT}/static/fonts/${FONT}`)).digest("hex");
  const lines = [
    "Third-party files in this repository, made by `npm ci && npm run build` in frontend/.",
    "",
    `static/fonts/${FONT}   Inter ${version("@fontsource-variable/inter")}, OFL-1.1, sha256 ${sum}`,
    `static/css/app.css   made with Tailwind CSS ${version("tailwindcss")}, MIT`,
    `templates/icons/   Heroicons ${version("heroicons")}, MIT`,
    `static/js/console/serial.js, xterm.css   xterm.js ${version("@xterm/xterm")}, addon-fit ${version("@xterm/addon-fit")}, MIT`,
    `static/js/graphs/graphs.js, uplot.css   uPlot ${version("uplot")}, MIT`,
    `static/js/console/vnc.js   noVNC ${version("@novnc/novnc")}, MPL-2.0; its source is in the npm package @novnc/novnc`,
  ];
  writeFileSync(`${ROOT}/static/VENDOR.txt`, lines.join("\n") + "\n");
}

buildIcons();
buildFont();
buildStyles();
await buildConsoles();
await buildGraphs();
writeVendorList();
