// One graph: its lines, its legend with the values under the cursor, and its colours, which follow the theme.
import uPlot from "uplot";

import { UNITS } from "./pictures.js";

const HEIGHT = 180;
const SYNC = uPlot.sync("graphs");
const DAY = 86400;
// What stands at the ticks of the time axis: from this distance of ticks on, and below it at the first of a day or year.
const TIMES = [
  [365 * DAY, "{YYYY}", null, null, null, null, null, null, 1],
  [28 * DAY, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [DAY, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
];

export function draw(figure, picture, limits, zoom) {
  const view = figure.querySelector("[data-graph-view]");
  const probe = (name) => () => getComputedStyle(figure.querySelector(name)).color;
  const unit = UNITS[picture.unit];
  const colours = picture.lines.map((line, number) => (line.under ? 2 : number - picture.lines.filter((one) => one.under).length));
  const values = picture.lines.map((line, number) => legend(figure, line, colours[number]));
  let times = [];
  let shown = picture.lines.map(() => []);

  const plot = new uPlot(
    {
      width: Math.max(view.clientWidth, 200),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, sync: { key: SYNC.key, scales: ["x", null] }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: { x: { time: true }, y: { range: (_plot, _low, high) => [0, top(high, picture, limits)] } },
      axes: [
        { stroke: probe(".graph-text"), grid: { stroke: probe(".graph-line"), width: 1 }, ticks: { show: false }, values: TIMES, space: 64, font: FONT, gap: 6 },
        {
          stroke: probe(".graph-text"),
          grid: { stroke: probe(".graph-line"), width: 1 },
          ticks: { show: false },
          values: (_plot, splits) => splits.map((split) => unit.tick(split)),
          incrs: unit.steps,
          space: 32,
          size: 68,
          font: FONT,
        },
      ],
      series: [{}, ...picture.lines.map((_line, number) => line(probe(`.graph-key-${colours[number]}`), colours[number] === 0))],
      hooks: {
        setCursor: [(self) => tell(self.cursor.idx)],
        setSelect: [(self) => self.select.width > 4 && select(self)],
      },
    },
    [[], ...picture.lines.map(() => [])],
    view,
  );

  function select(self) {
    const ends = [self.select.left, self.select.left + self.select.width].map((left) => self.posToVal(left, "x"));
    self.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    zoom(...ends);
  }

  function tell(place) {
    shown.forEach((column, number) => {
      const value = place == null ? column.findLast((one) => one != null) : column[place];
      values[number].textContent = value == null ? "–" : unit.full(value);
    });
  }

  function show(found, from, to) {
    times = found.at;
    shown = picture.lines.map((line) => line.values(found.series));
    plot.setData([times, ...shown], false);
    plot.setScale("x", { min: from, max: to });
    figure.classList.toggle("graph-empty", shown.every((column) => column.every((value) => value == null)));
    tell(plot.cursor.idx);
    const spoken = picture.lines.map((line, number) => `${line.label} ${values[number].textContent}`).join(", ");
    view.setAttribute("aria-label", `${figure.querySelector("h2").textContent} over time. ${spoken}.`);
  }

  new ResizeObserver(() => plot.setSize({ width: Math.max(view.clientWidth, 200), height: HEIGHT })).observe(view);
  new MutationObserver(() => plot.redraw(false, true)).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw(false, true));
  return { show };
}

const FONT = '12px Inter, ui-sans-serif, system-ui, "Segoe UI", Roboto, sans-serif';

function line(stroke, isFirst) {
  const fill = isFirst ? () => faint(stroke()) : undefined;
  return { stroke, width: 1.5, fill, points: { show: true, size: 3, fill: stroke, stroke, filter: alone } };
}

function faint(colour) {
  return colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.09)");
}

// A value between two gaps has no line; it is drawn as a point.
function alone(plot, number) {
  const column = plot.data[number];
  const found = [];
  column.forEach((value, place) => {
    if (value != null && column[place - 1] == null && column[place + 1] == null) found.push(place);
  });
  return found;
}

function top(high, picture, limits) {
  return Math.max((high ?? 0) * 1.1, picture.least ?? 0, picture.limit ? limits[picture.limit] : 0);
}

function legend(figure, line, colour) {
  const list = figure.querySelector("[data-graph-legend]");
  const item = document.createElement("span");
  const value = document.createElement("b");
  item.className = line.under ? "graph-key graph-key-under" : "graph-key";
  const mark = document.createElement("i");
  mark.className = `graph-mark graph-key-${colour}`;
  item.append(mark, `${line.label} `, value);
  list.append(item);
  return value;
}
