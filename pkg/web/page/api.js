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

// Tabs of this origin, which is the agent's: one that has no token, or one that is no good any more, asks the others for theirs.
const tabs = new BroadcastChannel(tokenKey);

const tried = new Set(); // tokens that this tab was refused with

// borrowToken asks the other tabs, and calls got when one has a token that this tab has not tried.
export function borrowToken(got) {
  tried.add(sessionStorage.getItem(tokenKey));
  tabs.onmessage = ({ data: { token } }) => {
    if (!token || link.state !== "token" || tried.has(token)) return;
    sessionStorage.setItem(tokenKey, token);
    linked("connecting");
    got();
  };
  tabs.postMessage({ wanted: true });
}

tabs.addEventListener("message", ({ data: { wanted } }) => {
  const token = sessionStorage.getItem(tokenKey);
  if (wanted && token && link.state === "live") tabs.postMessage({ token });
});

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

// Lost is an error of the connection.
class Lost extends Error {}

// over is what comes over the connection, or a Lost, which the link tells unless the signal has ended it. What has not come until the limit, a signal, is a
// Failure of who asked for it, if the agent answers otherwise.
async function over(coming, signal, why, limit) {
  try {
    return await coming;
  } catch (error) {
    if (limit?.aborted && !signal.aborted && (await answers(signal))) throw new Failure(504, { reason: "Timeout", message: "the agent takes longer for this than the page waits" });
    if (!signal.aborted) linked("lost", why);
    throw new Lost(error.message);
  }
}

const brokeOff = "the agent's answer broke off";

function request(path, signal) {
  const token = sessionStorage.getItem(tokenKey);
  return fetch(path, { signal, cache: "no-store", credentials: "omit", headers: token ? { Authorization: `Bearer ${token}` } : {} });
}

// answers tells whether the agent says at least who it is.
async function answers(signal) {
  try {
    await (await request("/v1/version", AbortSignal.any([signal, AbortSignal.timeout(5000)]))).text();
    return true;
  } catch {
    return false;
  }
}

// open asks for a path and returns the response, or throws a Failure: also when nothing comes until the limit, a signal.
async function open(path, signal, limit) {
  const asked = request(path, limit ? AbortSignal.any([signal, limit]) : signal);
  const response = await over(asked, signal, "the agent does not answer", limit);
  if (response.status === 401) linked("token");
  else linked("live");
  if (response.ok) return response;
  const text = await over(response.text(), signal, brokeOff, limit);
  let told;
  try {
    told = JSON.parse(text).error;
  } catch {
    told = { message: text.trim() };
  }
  throw new Failure(response.status, told);
}

// ask is one answer, which has to be here within so many seconds.
export async function ask(path, signal, seconds = 10) {
  const limit = AbortSignal.timeout(seconds * 1000);
  const response = await open(path, signal, limit);
  return JSON.parse(await over(response.text(), signal, brokeOff, limit));
}

// pieces calls take with each piece of text of a stream, until it ends or take has had enough, which it says by true. A stream that is faster than
// the page waits in between, so that the page has time for its reader.
export async function pieces(path, signal, take) {
  const response = await open(path, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await over(reader.read(), signal, brokeOff);
    if (done) return;
    if (take(value)) return reader.cancel();
    await pause(0.05, signal);
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
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, seconds * 1000);
    signal.addEventListener("abort", end);
  });

// repeat does something again and again until the signal, so many seconds apart, and ever later while it fails. A Failure is told, and tried again as well; what is neither that nor Lost is a mistake of the page.
export async function repeat(signal, seconds, work, failed = () => {}) {
  for (let failures = 0; !signal.aborted; ) {
    let wait = typeof seconds === "function" ? seconds() : seconds;
    try {
      await work();
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Failure || error instanceof Lost)) console.error(error);
      failed(error);
      wait = Math.max(wait, Math.min(10, 2 ** failures++ / 2));
    }
    await pause(wait, signal);
  }
}
