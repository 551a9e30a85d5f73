// Pieces that several views have.

import { h, put, set, keyed } from "./dom.js";
import { clock, moment, plain } from "./format.js";

// pill is a state in its colour; update takes the state.
export function pill(size = "") {
  const element = h("span");
  const update = (phase) => {
    put(element, phase);
    set(element, "class", `pill ${size} p-${phase}`);
  };
  return { element, update };
}

// card is a section with a heading.
export const card = (title, properties, ...children) => h("section", { class: `card ${properties?.class ?? ""}`, "aria-label": title }, h("div", { class: "head" }, h("h2", {}, title), properties?.head), children);

// facts is a list of names and values; what has no value is left out.
export const facts = (rows) => h("dl", { class: "facts" }, rows.filter(([, value]) => value !== "" && value !== null && value !== undefined).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

// link leads to a container.
export const link = (name, ...children) => h("a", { href: `#/containers/${name}` }, children.length ? children : name);

// hinted is a message whose next line is a hint.
export function hinted(text) {
  const [message, hint] = plain(text).split(/\nhint: /);
  return [h("span", {}, message), hint && h("span", { class: "hint" }, hint)];
}

// eventList shows events, the newest first.
export function eventList(named) {
  const element = h("ol", { class: "events", tabindex: 0, "aria-label": "Events" });
  const none = h("p", { class: "none" }, "Nothing has happened since the agent was started.");
  const update = (events) => {
    none.hidden = events.length > 0;
    keyed(element, [...events].reverse().slice(0, 200), (e) => e.id, (e) => h("li", { class: e.warning ? "warning" : "" },
      h("time", { datetime: e.time, title: moment(e.time) }, clock(e.time)), h("span", { class: "reason" }, plain(e.reason)), h("span", { class: "message" }, named && e.name && [link(e.name), " "], hinted(e.message ?? ""), e.count > 1 && h("span", { class: "quiet" }, ` ×${e.count}`))), () => {});
  };
  return { element: h("div", {}, none, element), update };
}

// table is a small table; update takes rows of cells.
export function table(heads, none) {
  const body = h("tbody");
  const element = h("table", { class: "small" }, h("thead", {}, h("tr", {}, heads.map((x) => h("th", { scope: "col" }, x)))), body);
  const empty = h("p", { class: "none" }, none);
  const update = (rows) => {
    element.hidden = rows.length === 0;
    empty.hidden = rows.length > 0;
    body.replaceChildren(...rows.map(({ class: name, cells }) => h("tr", { class: name }, cells.map((cell, i) => h("td", { "data-head": heads[i] }, cell)))));
  };
  update([]);
  return { element: h("div", {}, empty, element), update, say: (text) => put(empty, text) };
}
