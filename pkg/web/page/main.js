// The page: which view is shown, and that nothing is asked for while nobody looks.

import { fill, h, put, say, set } from "./dom.js";
import { ask, borrowToken, link, takeToken } from "./api.js";
import { store, watch } from "./store.js";
import { listView } from "./list.js";
import { containerView } from "./container.js";
import { nodeView } from "./node.js";

const main = document.getElementById("main");
let life; // ends what the view, and the page, ask for
let shown; // the view
let due = false;

// views by the address behind #: /, /containers/NAME, /node.
function viewOf(hash) {
  const [, kind, name] = hash.replace(/^#/, "").split("/");
  if (kind === "containers" && name) return { key: "list", begin: (signal) => containerView(main, signal, name) };
  if (kind === "node") return { key: "node", begin: (signal) => nodeView(main, signal) };
  return { key: "list", begin: (signal) => listView(main, signal) };
}

function show(focus) {
  const { key, begin } = viewOf(location.hash);
  stop();
  life = new AbortController();
  shown = begin(life.signal);
  watch(life.signal);
  document.title = `${shown.title} · reconciler`;
  for (const a of document.querySelectorAll("[data-view]")) set(a, "aria-current", a.dataset.view === key ? "page" : null);
  if (!focus) return;
  scrollTo(0, 0);
  main.querySelector("h1")?.focus({ preventScroll: true });
}

function stop() {
  life?.abort();
  life = null;
}

// What the store tells is drawn once a frame.
store.changed = () => {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    if (life) shown?.update();
  });
};
store.moved = (name, before, after) => say(`${name} is ${after}`);

const linkWords = { connecting: "connecting", live: "live", lost: "reconnecting", token: "no token" };
let named = "";

link.changed = () => {
  const element = document.getElementById("link");
  put(element, linkWords[link.state]);
  set(element, "class", `link ${link.state}`);
  set(element, "title", link.why);
  if (link.state === "token") askForToken();
  if (link.state === "live" && !named) name();
};

async function name() {
  named = "asked";
  try {
    put(document.getElementById("where"), (await ask("/v1/version", new AbortController().signal)).node ?? "");
  } catch {
    named = "";
  }
}

function askForToken() {
  stop();
  borrowToken(() => show(false));
  fill(main, h("div", { class: "card welcome" }, h("h1", { tabindex: -1 }, "This page needs its token"),
    h("p", {}, "It goes with the address that the agent's node knows. On the node, as root:"), h("pre", {}, "reconciler web"),
    h("p", {}, "Open what it prints. The token stays in this tab, until the tab is closed.")));
}

addEventListener("hashchange", () => {
  if (takeToken()) link.state = "connecting";
  else if (!location.hash.startsWith("#/") && location.hash) return; // the way to the content
  show(true);
});
// Who only looks elsewhere for a moment finds the page as it was.
let leaving;
document.addEventListener("visibilitychange", () => {
  clearTimeout(leaving);
  if (document.hidden) leaving = setTimeout(stop, 20_000);
  else if (!life && link.state !== "token") show(false);
});
addEventListener("pagehide", stop);
addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector("input[type=search]");
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && viewOf(location.hash).key === "list") {
    location.hash = "/";
  }
});

takeToken();
if (!document.hidden) show(false); // else once it is seen
