// The view of the node: its agent, what it reads, what it would do, and what it lacks.

import { h, fill } from "./dom.js";
import { age, moment, plain } from "./format.js";
import { ask, repeat, Failure } from "./api.js";
import { card, eventList, facts, hinted, link, table } from "./parts.js";
import { follow } from "./container.js";

// nodeView shows the node in an element until the signal.
export function nodeView(into, signal) {
  const about = h("div");
  const sources = table(["Manifests", "Revision", "Containers", "Read", ""], "No directory of manifests was read yet.");
  const refused = h("ul", { class: "problems" });
  const refusedCard = card("Refused manifests", { class: "alarm" }, refused);
  const plan = table(["Container", "Next", "Because"], "");
  const lacks = table(["Feature", "Why"], "Nothing is lacking.");
  const happened = eventList(true);
  refusedCard.hidden = true;
  fill(into, h("div", { class: "bar" }, h("h1", { tabindex: -1 }, "Node")), about, refusedCard,
    h("div", { class: "pair" }, card("Plan", {}, plan.element), card("Sources", {}, sources.element)),
    card("Events", {}, happened.element), card("What this node lacks", {}, lacks.element));

  repeat(signal, 10, async () => {
    const v = await ask("/v1/version", signal);
    fill(about, facts([["Node", v.node], ["Version", v.version], ["API", v.api], ["Agent pid", String(v.pid)], ["Agent up", h("span", { title: moment(v.startedAt) }, age(v.startedAt))], ["Go", v.go]]));
  });
  repeat(signal, 3, async () => {
    const list = await ask("/v1/sources", signal);
    sources.update(list.map((x) => ({ class: x.ok ? "" : "warning", cells: [h("code", {}, plain(x.path)), h("code", { title: plain(x.revision ?? x.hash ?? "") }, plain(x.revision ?? x.hash ?? "–").slice(0, 12)), String(x.objects), age(x.readAt) && `${age(x.readAt)} ago`,
      [!x.ok && "cannot be read ", x.unsettled && "is being written ", x.blocked?.length && `removal of ${x.blocked.length} waits for a confirmation`]] })));
    const problems = list.flatMap((x) => x.problems ?? []);
    refusedCard.hidden = problems.length === 0;
    fill(refused, problems.map((p) => h("li", {}, hinted(p))));
  });
  repeat(signal, 3, async () => {
    const { actions } = await ask("/v1/plan", signal);
    plan.say("Nothing to do: the node is as its manifests say.");
    plan.update(actions.map((a) => ({ cells: [link(a.name), h("b", {}, a.verb), plain(a.cause)] })));
  }, (error) => {
    if (!(error instanceof Failure)) return;
    plan.say(error.message);
    plan.update([]);
  });
  repeat(signal, 300, async () => {
    const list = await ask("/v1/features", signal);
    lacks.update(list.filter((f) => f.error).map((f) => ({ cells: [f.name, plain(f.error)] })));
  });
  follow(signal, "", happened.update);
  return { update() {}, title: "Node" };
}
