// The view of all containers.

import { h, fill, put, set, keyed } from "./dom.js";
import { age, bytes, percent, plain } from "./format.js";
import { repeat } from "./api.js";
import { attention, measure, sorted, store } from "./store.js";
import { spark } from "./chart.js";
import { link, pill } from "./parts.js";

const kinds = [
  ["all", "All", () => true],
  ["running", "Running", (o) => o.status.phase === "Running"],
  ["paused", "Paused", (o) => o.status.phase === "Paused"],
  ["waiting", "On the way", (o) => ["Pending", "Starting", "BackOff", "Terminating"].includes(o.status.phase)],
  ["ended", "At rest", (o) => ["Stopped", "Checkpointed", "Completed", "Failed"].includes(o.status.phase)],
  ["attention", "Need attention", (o) => attention(o) !== ""],
];

const chosen = { kind: "all", text: "" };

// seconds between two measures: the more containers, the fewer.
const pace = () => (store.containers.size < 50 ? 2 : store.containers.size < 200 ? 5 : 15);

// listView shows all containers in an element until the signal.
export function listView(into, signal) {
  const search = h("input", { type: "search", placeholder: "Filter by name, label or group", "aria-label": "Filter", value: chosen.text, oninput: () => ((chosen.text = search.value), update()) });
  const chips = kinds.map(([key, title]) => {
    const count = h("b", {}, "0");
    return { key, count, element: h("button", { type: "button", class: `chip k-${key}`, onclick: () => ((chosen.kind = key), update()) }, title, " ", count) };
  });
  const heads = ["Container", "State", "Ready", "Restarts", "CPU", "Memory", "Up"];
  const body = h("tbody");
  const none = h("p", { class: "none card" }, "Waiting for the agent.");
  const table = h("table", { class: "containers" }, h("caption", { class: "unseen" }, "Containers"), h("thead", {}, h("tr", {}, heads.map((x) => h("th", { scope: "col" }, x)))), body);
  fill(into, h("div", { class: "bar" }, h("h1", { tabindex: -1 }, "Containers"), search), h("div", { class: "chips", role: "group", "aria-label": "Which" }, chips.map((c) => c.element)), none, table);

  function update() {
    const all = sorted();
    const words = chosen.text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (o) => words.every((word) => wordsOf(o).includes(word));
    for (const [i, chip] of chips.entries()) {
      put(chip.count, all.filter(kinds[i][2]).length);
      set(chip.element, "aria-pressed", String(chip.key === chosen.kind));
    }
    const shown = all.filter(kinds.find(([key]) => key === chosen.kind)[2]).filter(fits);
    table.hidden = shown.length === 0;
    none.hidden = shown.length > 0;
    put(none, !store.listed ? "Waiting for the agent." : all.length ? "No container is like that." : "There are no containers: no manifest asks for one.");
    keyed(body, shown, (o) => o.metadata.name, row, (element, o) => element.update(o));
  }
  let measured = 0;
  repeat(signal, () => (measured < 3 ? 0.5 : pace()), async () => { // two measures make the first rate
    if (!store.listed) return;
    await measure("", signal);
    measured++;
    update();
  });
  const timer = setInterval(update, 5000); // ages
  signal.addEventListener("abort", () => clearInterval(timer));
  update();
  return { update, title: "Containers" };
}

const wordsOf = ({ metadata, spec, status }) => [metadata.name, status.phase, spec?.group ?? "", ...Object.entries(metadata.labels ?? {}).map(([k, v]) => `${k}=${v}`)].join(" ").toLowerCase();

function row(object) {
  const { name } = object.metadata;
  const labels = h("span", { class: "labels" });
  const why = h("span", { class: "why" });
  const phase = pill();
  const cells = Object.fromEntries(["ready", "restarts", "cpu", "memory", "up"].map((x) => [x, h("span", { class: "figure" })]));
  const line = spark();
  const meter = h("span", { class: "meter" }, h("i"));
  const element = h("tr", { "data-name": name, onclick: (event) => { if (!event.target.closest("a") && !getSelection().toString()) location.hash = `/containers/${name}`; } },
    h("th", { scope: "row" }, link(name), labels, why), h("td", { "data-head": "State" }, phase.element), h("td", { "data-head": "Ready" }, cells.ready), h("td", { "data-head": "Restarts" }, cells.restarts),
    h("td", { "data-head": "CPU", class: "measure" }, line.element, cells.cpu), h("td", { "data-head": "Memory", class: "measure" }, meter, cells.memory), h("td", { "data-head": "Up" }, cells.up));
  element.update = ({ metadata, spec, status }) => {
    const samples = store.samples.get(name) ?? [];
    const last = samples.at(-1);
    const c = status.container ?? {};
    put(labels, [spec?.group && `group ${spec.group}`, ...Object.entries(metadata.labels ?? {}).map(([k, v]) => `${k}=${v}`)].filter(Boolean).join("  "));
    put(why, plain(attention({ metadata, status }) || (status.phase === "Running" ? "" : status.message ?? "")));
    phase.update(status.phase);
    put(cells.ready, c.ready ? "yes" : c.pid ? "no" : "–");
    set(cells.ready, "class", `figure ${c.ready ? "good" : c.pid && status.phase !== "Paused" ? "bad" : ""}`);
    put(cells.restarts, c.restartCount ?? 0);
    put(cells.up, age(c.startedAt) || "–");
    const runs = c.pid && last;
    put(cells.cpu, runs && last.cpu !== null ? percent(last.cpu) : "–");
    put(cells.memory, runs && last.memory !== null ? bytes(last.memory) : "–");
    line.update(runs ? samples.slice(-36).map((x) => x.cpu).filter((x) => x !== null) : [], 5);
    meter.hidden = !runs || !last.limit;
    if (!meter.hidden) {
      const share = Math.min(100, (100 * last.memory) / last.limit);
      meter.firstChild.style.width = `${share}%`;
      set(meter, "title", `${Math.round(share)} % of ${bytes(last.limit)}`);
      set(meter, "class", `meter${share > 90 ? " full" : ""}`);
    }
  };
  return element;
}
