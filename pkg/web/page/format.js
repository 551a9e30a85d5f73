// Figures and times for people.

let ahead = 0; // of this clock the node's is so many milliseconds

// nodeClock says what time it is on the node, where the times of the API are from.
export const nodeClock = (time) => { ahead = Date.parse(time) - Date.now(); };

// now is the time of the node.
export const now = () => Date.now() + ahead;

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// bytes is 512 B, 1.5 MiB.
export function bytes(n) {
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1).replace(/\.0$/, "")} ${units[unit]}`;
}

// percent is 0 %, 0.4 %, 87 %.
export const percent = (n) => `${n >= 10 || n === 0 ? Math.round(n) : n.toFixed(1)} %`;

const spans = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];

// span is 4d 3h, 12m, 5s.
export function span(seconds) {
  seconds = Math.max(0, Math.floor(seconds));
  const at = spans.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0s";
  const [size, unit] = spans[at];
  const [below, belowUnit] = spans[at + 1] ?? [];
  const rest = below && at < 2 ? Math.floor((seconds % size) / below) : 0;
  return `${Math.floor(seconds / size)}${unit}${rest ? ` ${rest}${belowUnit}` : ""}`;
}

// age is how long ago a time of the API was; "" for none.
export const age = (time) => (time ? span((now() - Date.parse(time)) / 1000) : "");

const timeOfDay = new Intl.DateTimeFormat([], { hour: "numeric", minute: "numeric", second: "numeric", hour12: false }); // made once: each line of output has one

// clock is a time of day here.
export const clock = (time) => (time ? timeOfDay.format(new Date(time)) : "");

// moment is date and time here.
export const moment = (time) => (time ? new Date(time).toLocaleString([], { hour12: false, dateStyle: "medium", timeStyle: "medium" }) : "");

const escapes = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[@-Z\\-_])/g;
const controls = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

// plain is text without what a terminal would obey: colours go, any other control becomes a mark that is seen.
export const plain = (text) => text.replace(escapes, "").replace(controls, (c) => (c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : "\ufffd"));
