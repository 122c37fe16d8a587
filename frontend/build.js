// Builds everything that is committed from here: the style sheet, the font, the icons and VENDOR.txt.
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

function writeVendorList() {
  const sum = createHash("sha256").update(readFileSync(`${ROOT}/static/fonts/${FONT}`)).digest("hex");
  const lines = [
    "Third-party files in this repository, made by `npm ci && npm run build` in frontend/.",
    "",
    `static/fonts/${FONT}   Inter ${version("@fontsource-variable/inter")}, OFL-1.1, sha256 ${sum}`,
    `static/css/app.css   made with Tailwind CSS ${version("tailwindcss")}, MIT`,
    `templates/icons/   Heroicons ${version("heroicons")}, MIT`,
  ];
  writeFileSync(`${ROOT}/static/VENDOR.txt`, lines.join("\n") + "\n");
}

buildIcons();
buildFont();
buildStyles();
writeVendorList();
