// The states of a container and the ways between them (pkg/spec, Phase), drawn; with the present one lit, and those that it has passed.

import { h, s, fill, set } from "./dom.js";
import { clock } from "./format.js";
import { store } from "./store.js";

const size = { width: 776, height: 224 };
const box = { width: 106, height: 34 };

const states = {
  Pending: [66, 60], Starting: [214, 60], Running: [400, 60], Paused: [574, 60], Terminating: [714, 60],
  BackOff: [124, 162], Failed: [278, 162], Completed: [412, 162], Stopped: [548, 162], Checkpointed: [688, 162],
};

// A way: from, to, where it begins and ends beside the middle of its box, and what takes it.
const ways = [
  ["Pending", "Starting", [53, 0], [-53, 0], "it is created, and nothing holds it back"],
  ["Pending", "BackOff", [-8, 17], [-34, -17], "it cannot be made, and waits"],
  ["Starting", "Running", [53, -7], [-53, -7], "its process runs, and a startup probe has succeeded"],
  ["Running", "Starting", [-53, 7], [53, 7], "restarted at once, or replaced"],
  ["Running", "Paused", [53, -7], [-53, -7], "pause"],
  ["Paused", "Running", [-53, 7], [53, 7], "resume"],
  ["Starting", "BackOff", [-34, 17], [-12, -17], "it ended, and waits"],
  ["BackOff", "Starting", [14, -17], [-10, 17], "the wait is over"],
  ["Running", "BackOff", [-40, 17], [46, -17], "its process ended"],
  ["Starting", "Failed", [16, 17], [-14, -17], "it cannot start"],
  ["BackOff", "Failed", [53, 0], [-53, 0], "restarts are used up"],
  ["Running", "Failed", [-18, 17], [20, -17], "its process ended, and is not restarted"],
  ["Running", "Completed", [6, 17], [-4, -17], "its process ended well"],
  ["Running", "Stopped", [26, 17], [-22, -17], "stop"],
  ["Running", "Checkpointed", [44, 17], [-30, -17], "checkpoint"],
  ["Paused", "Stopped", [-4, 17], [8, -17], "stop"],
  ["Paused", "Checkpointed", [20, 17], [14, -17], "checkpoint"],
];

// The way back from where it has ended.
const rail = ["Failed", "Completed", "Stopped", "Checkpointed"];

// What an event says of the state that a container then had.
const told = { ManifestAdded: "Pending", Created: "Starting", Started: "Running", Restored: "Running", Paused: "Paused", Resumed: "Running", BackOff: "BackOff", Failed: "Failed", ManifestRemoved: "Terminating" };

// history is the states that a container has had, by its events and by what was seen, the latest last: [{phase, at}].
export function history(name, events) {
  const all = [
    ...events.filter((e) => told[e.reason]).map((e) => ({ phase: told[e.reason], at: Date.parse(e.time) })),
    ...(store.phases.get(name) ?? []),
  ].sort((a, b) => a.at - b.at);
  return all.filter((x, i) => x.phase !== all[i - 1]?.phase);
}

const arrow = (id) => s("marker", { id, viewBox: "0 0 8 8", refX: 7.5, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" }, s("path", { d: "M0 0.5L8 4L0 7.5Z" }));

// machine is the drawing and, in words, the latest states.
export function machine() {
  const lit = {};
  const lines = {};
  for (const [from, to, out, into, why] of ways) {
    const [a, b] = [states[from], states[to]];
    lines[`${from}>${to}`] = s("path", { class: "way", "data-way": `${from}>${to}`, d: `M${a[0] + out[0]} ${a[1] + out[1]}L${b[0] + into[0]} ${b[1] + into[1]}` }, s("title", {}, `${from} to ${to}: ${why}`));
  }
  const track = "V204H8V24H214V43";
  const stubs = [s("path", { class: "way rail", d: `M${states.Checkpointed[0]} 204${track}` })]; // drawn once, and over it the whole of what was taken
  for (const from of rail) {
    const [x, y] = states[from];
    stubs.push(s("path", { class: "way rail stub", d: `M${x} ${y + 17}V204` }));
    lines[`${from}>Starting`] = s("path", { class: "way rail whole", "data-way": `${from}>Starting`, d: `M${x} ${y + 17}${track}` }, s("title", {}, `${from} to Starting: started, restored, its next run, another manifest`));
  }
  const end = s("path", { class: "way rail", d: "M638 60H661" }, s("title", {}, "from any state: its manifest is removed"));
  for (const [name, [x, y]] of Object.entries(states)) {
    lit[name] = s("g", { class: "state", "data-state": name, transform: `translate(${x} ${y})` },
      s("rect", { x: -box.width / 2, y: -box.height / 2, width: box.width, height: box.height, rx: 17 }), s("text", { "text-anchor": "middle", y: 4.5 }, name));
  }
  const svg = s("svg", { viewBox: `0 0 ${size.width} ${size.height}`, role: "img" }, s("defs", {}, arrow("arrow"), arrow("arrow-taken")),
    stubs, Object.values(lines), end, s("text", { class: "note", x: 487, y: 42, "text-anchor": "middle" }, "pause, resume"), s("text", { class: "note", x: 100, y: 218 }, "starts anew: by hand, from an image, by schedule, or for another manifest"), s("text", { class: "note", x: 714, y: 95, "text-anchor": "middle" }, "manifest removed"), Object.values(lit));
  const list = h("ol", { class: "history", "aria-label": "Latest states" });
  const drawing = h("div", { class: "drawing", tabindex: 0, role: "group", "aria-label": "State machine" }, svg);
  const element = h("div", { class: "machine" }, drawing, list);
  let at = "";

  function update(object, events) {
    const now = object.status.phase;
    const past = history(object.metadata.name, events);
    const had = new Set(past.map((x) => x.phase));
    const taken = new Set(past.slice(1).map((x, i) => `${past[i].phase}>${x.phase}`));
    for (const [name, node] of Object.entries(lit)) set(node, "class", `state p-${name}${name === now ? " now" : had.has(name) ? " had" : ""}`);
    for (const [name, line] of Object.entries(lines)) line.classList.toggle("taken", taken.has(name));
    set(svg, "aria-label", `States: it is ${now}; before: ${past.slice(0, -1).map((x) => x.phase).reverse().slice(0, 5).join(", ") || "nothing known"}`);
    if (at !== now) { // on a narrow page it comes into view
      at = now;
      drawing.scrollLeft = (states[now][0] / size.width) * svg.getBoundingClientRect().width - drawing.clientWidth / 2;
    }
    fill(list, past.slice(-6).map((x) => h("li", { class: `p-${x.phase}` }, h("time", {}, clock(x.at)), " ", x.phase)));
  }
  return { element, update };
}

// frozen are the times in which a container was paused, as far as its events and what was seen tell: [[from, to]].
export function frozen(object, events, now) {
  const spans = [];
  let since = null;
  for (const { phase, at } of history(object.metadata.name, events)) {
    if (phase === "Paused") since ??= at;
    else if (since !== null) {
      spans.push([since, at]);
      since = null;
    }
  }
  if (object.status.phase === "Paused") spans.push([since ?? now, now]);
  return spans;
}
