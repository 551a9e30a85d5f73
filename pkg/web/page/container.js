// The view of one container.

import { h, fill, put } from "./dom.js";
import { age, bytes, clock, now, percent, plain } from "./format.js";
import { ask, repeat } from "./api.js";
import { condition, measure, store } from "./store.js";
import { chart } from "./chart.js";
import { frozen, machine } from "./machine.js";
import { logs } from "./logs.js";
import { card, eventList, facts, hinted, pill, table } from "./parts.js";

const pressures = [["cpu", "Pressure: cpu"], ["memory", "Pressure: memory"], ["io", "Pressure: io"]];

// containerView shows a container in an element until the signal.
export function containerView(into, signal, name) {
  let events = [];
  const phase = pill("big");
  const message = h("p", { class: "lead" });
  const about = h("div");
  const states = machine();
  const charts = [
    chart({ title: "CPU", lines: [{ name: "", of: (x) => x.cpu }], format: percent, top: () => 2 }),
    chart({ title: "Memory", lines: [{ name: "", of: (x) => x.memory }], format: bytes, top: () => 1 << 20, limit: (x) => x.limit }),
    ...pressures.map(([of, title]) => chart({ title, lines: [{ name: "some", of: (x) => x.pressure?.[of]?.some }, { name: "full", of: (x) => x.pressure?.[of]?.full }], format: percent, top: () => 5 })),
  ];
  const conditions = table(["Condition", "", "Reason", "Message", "Since"], "Nothing is said of it.");
  const plan = table(["Next", "Because"], "Nothing to do: it is as its manifest says.");
  const drifts = table(["Field", "Found", "Wanted", ""], "");
  const happened = eventList(false);
  const manifest = h("pre", { class: "manifest", tabindex: 0 });
  const button = h("button", { type: "button", class: "plain", onclick: compare }, "Compare now");
  fill(into, h("nav", { class: "crumbs", "aria-label": "Where" }, h("a", { href: "#/" }, "Containers"), " / ", h("span", { "aria-current": "page" }, name)),
    h("div", { class: "bar" }, h("h1", { tabindex: -1 }, name), phase.element), message, about,
    card("State machine", { class: "wide" }, states.element),
    h("div", { class: "charts" }, charts.map((c) => c.element)),
    h("div", { class: "pair" },
      card("Plan and drift", {}, plan.element, h("div", { class: "head" }, h("h3", {}, "Drift"), h("span", { class: "grow" }), button), drifts.element),
      card("Conditions", {}, conditions.element)),
    logs(name, signal),
    card("Events", {}, happened.element),
    h("details", { class: "card" }, h("summary", {}, "Manifest in force"), manifest));

  async function compare() {
    button.disabled = true;
    try {
      const list = await ask(`/v1/containers/${encodeURIComponent(name)}/drift`, signal, 30);
      drifts.say(`Nothing differs from what the kernel shows (${clock(now())}).`);
      drifts.update(list.map((d) => ({ cells: [h("span", { class: "short" }, plain(d.field)), h("code", {}, plain(d.found || "nothing")), h("code", {}, plain(d.wanted || "nothing")), d.repairable ? "is put back" : "stays"] })));
    } catch (error) {
      drifts.update([]);
      drifts.say(error.message);
    }
    button.disabled = false;
  }

  function update() {
    const object = store.containers.get(name);
    if (!object) {
      phase.update("Gone");
      phase.element.hidden = !store.listed;
      put(message, store.listed ? "There is no such container now." : "Waiting for the agent.");
      return;
    }
    const { status, spec } = object;
    const c = status.container ?? {};
    phase.element.hidden = false;
    phase.update(status.phase);
    put(message, plain(status.message ?? ""));
    const exit = c.lastExit;
    fill(about, facts([
      ["Ready", h("span", { class: c.ready ? "good" : "bad" }, c.ready ? "yes" : "no")], ["Up", age(c.startedAt)], ["Restarts", String(c.restartCount ?? 0)], ["Pid", c.pid && String(c.pid)],
      ["Instance", c.instance && String(c.instance)], ["Generation", String(object.metadata.generation)], ["Group", spec?.group], ["Rollout", status.rollout?.state],
      ["Last exit", exit && plain(`${exit.signal || `code ${exit.code}`}, ${exit.reason}, ${age(exit.finishedAt)} ago`)], ["OOM kills", c.oomKills && String(c.oomKills)],
      ["By hand", status.override && plain(status.override.suspended ? "suspended" : status.override.state ?? "")], ["Manifest", status.source?.path && `${plain(status.source.path)}:${status.source.line}`],
    ]));
    states.update(object, events);
    conditions.update((status.conditions ?? []).map((x) => ({ class: `is-${x.type}-${x.status}`, cells: [x.type, h("span", { class: "is" }, x.status), h("span", { class: "short" }, plain(x.reason)), hinted(x.message ?? ""), age(x.lastTransitionTime)] })));
    plan.update((status.pending ?? []).map((a) => ({ cells: [h("b", {}, a.verb), plain(a.cause)] })));
    const drifted = condition(object, "Drifted");
    drifts.say(drifted?.status === "True" ? plain(drifted.message || drifted.reason) : "No drift is known. The agent compares by itself every so often.");
    happened.update(events);
    put(manifest, plain(JSON.stringify(spec ?? {}, null, 2)));
    draw();
  }

  function draw() {
    const object = store.containers.get(name);
    if (!object) return;
    const samples = store.samples.get(name) ?? [];
    const end = samples.at(-1)?.at ?? now();
    const bands = frozen(object, events, end);
    for (const c of charts) c.update(samples, bands, end);
  }

  repeat(signal, 1, async () => {
    if (!store.containers.get(name)?.status.container?.instance) return;
    await measure(`?name=${encodeURIComponent(name)}`, signal);
    draw();
  });
  follow(signal, name, (list) => {
    events = list;
    update();
  });
  const timer = setInterval(() => getSelection().isCollapsed && update(), 5000); // ages
  signal.addEventListener("abort", () => clearInterval(timer));
  update();
  return { update, title: name };
}

// follow keeps the events of a container, or of all for "", up to date until the signal.
export function follow(signal, name, take) {
  let list = [];
  let agent = "";
  return repeat(signal, 1.5, async () => {
    if (agent !== store.agent) (list = []), (agent = store.agent); // numbers of another agent mean other events
    const since = list.at(-1)?.id ?? 0;
    const more = await ask(`/v1/events?since=${since}&agent=${encodeURIComponent(agent)}${name ? `&name=${encodeURIComponent(name)}` : ""}`, signal);
    if (!more.length && since) return;
    const repeated = new Set(more.filter((e) => e.count > 1).map(same));
    list = [...list.filter((e) => !repeated.has(same(e))), ...more].slice(-500);
    take(list);
  });
}

// same is what an event that repeats another has in common with it.
const same = (e) => JSON.stringify([e.name, e.reason, e.message, e.warning]);
