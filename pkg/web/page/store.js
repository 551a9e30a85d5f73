// What is known of the node: containers as the agent tells of them, what they use as they are asked, what has happened. Views look at it; nothing here draws.

import { ask, lines, repeat, Failure } from "./api.js";
import { nodeClock, now } from "./format.js";

// kept bounds the samples of a container, and passed the states that it has been seen in.
const kept = 240;
const passed = 64;

export const store = {
  agent: "",
  version: 0,
  listed: false,
  containers: new Map(), // by name: objects as the API has them
  samples: new Map(), // by name: rates and amounts, oldest first
  phases: new Map(), // by name: {phase, at}, as they were seen
  changed: () => {}, // told that containers are others
  moved: () => {}, // told that a container has another state
};

// watch keeps the containers up to date until the signal.
export function watch(signal) {
  return repeat(signal, 0.2, async () => {
    try {
      if (!store.version) await list(signal);
      await lines(`/v1/containers?watch=1&agent=${encodeURIComponent(store.agent)}&resourceVersion=${store.version}`, signal, change);
    } catch (error) {
      if (error instanceof Failure && error.status === 410) store.version = 0; // forgotten, or another agent: list anew
      throw error;
    }
  });
}

async function list(signal) {
  const all = await ask("/v1/containers", signal);
  const gone = new Set(store.containers.keys());
  for (const object of all.items) {
    gone.delete(object.metadata.name);
    note(object);
  }
  for (const name of gone) forget(name);
  Object.assign(store, { agent: all.metadata.agent, version: all.metadata.resourceVersion ?? 0, listed: true });
  store.changed();
}

function change({ type, object }) {
  store.version = Math.max(store.version, object.metadata.resourceVersion);
  if (type === "Bookmark") return;
  if (type === "Deleted") forget(object.metadata.name);
  else note(object);
  store.changed();
}

function note(object) {
  const { name } = object.metadata;
  const before = store.containers.get(name)?.status.phase;
  store.containers.set(name, object);
  if (before === object.status.phase) return;
  const seen = store.phases.get(name) ?? [];
  seen.push({ phase: object.status.phase, at: now() });
  store.phases.set(name, seen.slice(-passed));
  if (before) store.moved(name, before, object.status.phase);
}

function forget(name) {
  for (const of of [store.containers, store.samples, store.phases]) of.delete(name);
}

// sorted are the containers by name.
export const sorted = () => [...store.containers.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));

// condition is what an object says of one aspect, undefined for nothing.
export const condition = (object, type) => object.status.conditions?.find((c) => c.type === type);

// attention is why somebody should look at a container, "" for no reason.
export function attention({ status, ...object }) {
  if (status.phase === "Failed" || status.phase === "BackOff") return status.message || status.phase;
  for (const [type, bad] of [["Stalled", "True"], ["Accepted", "False"], ["Drifted", "True"], ["RolledBack", "True"], ["Checkpointed", "False"], ["Restored", "False"]]) {
    const c = condition({ status, ...object }, type);
    if (c?.status === bad && c.reason !== "Repaired") return `${type}: ${c.message || c.reason}`;
  }
  return "";
}

// measure asks for what containers use, and notes it.
export async function measure(query, signal) {
  const { items } = await ask(`/v1/stats${query}`, signal);
  for (const stats of items) take(stats);
  if (items.length) nodeClock(items.at(-1).time);
}

function take(stats) {
  if (!store.containers.has(stats.name)) return; // gone since it was asked
  const list = store.samples.get(stats.name) ?? [];
  const before = list.at(-1);
  list.push(rated(before, stats));
  if (before) delete before.raw; // only the next rate needs it
  store.samples.set(stats.name, list.slice(-kept));
}

// rated is a sample with what two make: shares of a processor and of time, in per cent.
function rated(before, stats) {
  const at = Date.parse(stats.time);
  const sample = { at, raw: stats, cpu: null, memory: stats.memory?.current ?? null, limit: limit(stats.memory?.max), pressure: {} };
  if (before?.raw.instance !== stats.instance || at <= before.at) return sample;
  const share = (after, earlier) => (after === undefined || earlier === undefined ? null : Math.max(0, after - earlier) / (at - before.at) / 10);
  sample.cpu = share(stats.cpu?.usageUsec, before.raw.cpu?.usageUsec);
  for (const [of, psi] of Object.entries(stats.pressure ?? {})) {
    const was = before.raw.pressure?.[of];
    sample.pressure[of] = { some: cap(share(psi.some.totalUsec, was?.some.totalUsec)), full: cap(share(psi.full.totalUsec, was?.full.totalUsec)) };
  }
  return sample;
}

const cap = (share) => (share === null ? null : Math.min(100, share));

const powers = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 };

// limit is a limit of the API as a number, null for none: 64Mi, 1000, max.
export function limit(text) {
  const [, number, unit] = String(text ?? "").match(/^([\d.]+)([A-Za-z]*)$/) ?? [];
  return number ? Number(number) * (powers[unit] ?? 1) : null;
}
