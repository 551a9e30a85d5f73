// The agent's API: who asks, whether the agent answers, and streams that go on where they broke. A browser has six connections to one host for all
// its tabs, so a tab has two streams at most, asks for the rest every so often, and has none while nobody sees it.

const tokenKey = "reconciler-token";

// takeToken moves a token from the address, where it is seen and kept, into what goes with this tab. It tells whether there was one.
export function takeToken() {
  const token = location.hash.match(/^#token=([A-Za-z0-9]+)$/)?.[1];
  if (!token) return false;
  sessionStorage.setItem(tokenKey, token);
  history.replaceState(null, "", location.pathname);
  return true;
}

// The link to the agent: connecting, live, lost, or token for one that wants a token that we do not have.
export const link = { state: "connecting", why: "", changed: () => {} };

function linked(state, why = "") {
  if (link.state === state && link.why === why) return;
  Object.assign(link, { state, why });
  link.changed();
}

// Failure is an error that the agent tells: reason and hint are its words.
export class Failure extends Error {
  constructor(status, { reason = "", message = "", hint = "" } = {}) {
    super(message || `the agent answered ${status}`);
    Object.assign(this, { status, reason, hint });
  }
}

// open asks for a path and returns the response, or throws a Failure.
async function open(path, signal) {
  const token = sessionStorage.getItem(tokenKey);
  let response;
  try {
    response = await fetch(path, { signal, cache: "no-store", credentials: "omit", headers: token ? { Authorization: `Bearer ${token}` } : {} });
  } catch (error) {
    if (!signal.aborted) linked("lost", "the agent does not answer");
    throw error;
  }
  if (response.status === 401) linked("token");
  else linked("live");
  if (response.ok) return response;
  const text = await response.text();
  let told;
  try {
    told = JSON.parse(text).error;
  } catch {
    told = { message: text.trim() };
  }
  throw new Failure(response.status, told);
}

// ask is one answer.
export async function ask(path, signal) {
  return (await open(path, signal)).json();
}

// pieces calls take with each piece of text of a stream, until it ends.
export async function pieces(path, signal, take) {
  const response = await open(path, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    take(value);
  }
}

// lines calls take with each line of JSON of a stream. The agent's last words are a Failure.
export async function lines(path, signal, take) {
  let rest = "";
  await pieces(path, signal, (text) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop();
    for (const part of parts) {
      if (!part) continue;
      const value = JSON.parse(part);
      if (value.error) throw new Failure(410, value.error);
      take(value);
    }
  });
}

// pause waits, or until the signal.
export const pause = (seconds, signal) =>
  new Promise((done) => {
    const timer = setTimeout(done, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });

// repeat does something again and again until the signal, so many seconds apart, and ever later while it fails. A Failure is told, and tried again as well.
export async function repeat(signal, seconds, work, failed = () => {}) {
  for (let failures = 0; !signal.aborted; ) {
    let wait = typeof seconds === "function" ? seconds() : seconds;
    try {
      await work();
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Failure) && link.state === "live") linked("lost", "the agent's answer broke off");
      failed(error);
      wait = Math.max(wait, Math.min(10, 2 ** failures++ / 2));
    }
    await pause(wait, signal);
  }
}
