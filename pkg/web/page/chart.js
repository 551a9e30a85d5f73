// Charts over time, as drawings that take their colours from the style sheet.

import { s, h, put, set } from "./dom.js";

const width = 400;
const height = 120;
const longest = 120_000; // what is shown, in milliseconds; less while less is known
const shortest = 30_000;

// Chart is a figure with a title, the latest values, lines over up to the latest two minutes, a dashed limit, and bands for the times it was frozen.
// of: {title, lines: [{name, of(sample)}], format, top(samples): the scale's least end, limit(sample)}.
export function chart({ title, lines, format, top = () => 1, limit = () => null, unit = "" }) {
  const bands = s("g", { class: "bands" });
  const dashed = s("line", { class: "limit", x1: 0, x2: width });
  const drawn = lines.map((line, i) => ({ line, area: s("path", { class: `area c${i}` }), stroke: s("path", { class: `stroke c${i}` }), value: h("b", {}) }));
  const grid = [0.25, 0.5, 0.75].map((at) => s("line", { class: "grid", x1: 0, x2: width, y1: height * at, y2: height * at }));
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" }, grid, bands, drawn.map((d) => d.area), drawn.map((d) => d.stroke), dashed);
  const end = h("span", { class: "end" });
  const since = h("span");
  const element = h("figure", { class: "chart", "data-chart": title },
    h("figcaption", {}, h("span", { class: "title" }, title), h("span", { class: "values" }, drawn.map((d, i) => h("span", {}, h("i", { class: `key c${i}` }), d.line.name ? `${d.line.name} ` : "", d.value)))),
    h("div", { class: "plot" }, svg, end), h("div", { class: "axis" }, since, h("span", {}, "now")));

  function update(samples, frozen, now) {
    const lasts = Math.min(longest, Math.max(shortest, now - (samples[0]?.at ?? now)));
    const seen = samples.filter((x) => x.at >= now - lasts - 5000);
    put(since, `${Math.round(lasts / 1000)} s ago`);
    const x = (at) => (width * (at - now + lasts)) / lasts;
    const highest = Math.max(0, ...seen.flatMap((sample) => lines.map((l) => l.of(sample) ?? 0)));
    const bound = limit(seen.at(-1) ?? {});
    const scale = Math.max(top(), bound ? bound * 1.08 : 0, highest * 1.15);
    const y = (value) => height - 1 - ((height - 2) * value) / scale;
    set(dashed, "visibility", bound ? "visible" : "hidden");
    if (bound) (set(dashed, "y1", y(bound)), set(dashed, "y2", y(bound)));
    for (const d of drawn) {
      const points = seen.map((sample) => [x(sample.at), d.line.of(sample)]).filter(([, v]) => v !== null && v !== undefined).map(([at, v]) => [at, y(v)]);
      const path = points.map(([px, py], i) => `${i ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
      set(d.stroke, "d", path);
      set(d.area, "d", path && `${path}L${points.at(-1)[0].toFixed(1)} ${height}L${points[0][0].toFixed(1)} ${height}Z`);
      set(d.stroke, "data-points", points.length);
      const last = seen.at(-1) && d.line.of(seen.at(-1));
      put(d.value, last === null || last === undefined ? "–" : format(last));
    }
    bands.replaceChildren(...frozen.filter(([, to]) => to > now - lasts).map(([from, to]) =>
      s("rect", { x: Math.max(0, x(from)), y: 0, height, width: Math.max(1, x(to) - Math.max(0, x(from))) }, s("title", {}, "frozen"))));
    put(end, bound ? `limit ${format(bound)}` : `${format(scale)}${unit}`);
    set(svg, "aria-label", `${title}: ${drawn.map((d) => `${d.line.name} ${d.value.textContent}`.trim()).join(", ")}${bound ? `, limit ${format(bound)}` : ""}${frozen.length ? ", with times it was frozen" : ""}`);
  }
  return { element, update };
}

// spark is a line without anything else.
export function spark() {
  const area = s("path", { class: "area c0" });
  const stroke = s("path", { class: "stroke c0" });
  const element = s("svg", { class: "spark", viewBox: "0 0 72 20", preserveAspectRatio: "none", "aria-hidden": "true" }, area, stroke);
  return {
    element,
    update(values, least) {
      const top = Math.max(least, ...values);
      const step = Math.min(8, 72 / (values.length - 1)); // few are spread
      const path = values.map((v, i) => `${i ? "L" : "M"}${(72 - (values.length - 1 - i) * step).toFixed(1)} ${(19 - (18 * v) / top).toFixed(1)}`).join("");
      set(element, "visibility", values.length > 1 ? "visible" : "hidden");
      set(stroke, "d", path);
      set(area, "d", path && `${path}L72 20L${(72 - (values.length - 1) * step).toFixed(1)} 20Z`);
    },
  };
}
