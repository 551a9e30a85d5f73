// What a container writes, as it writes it. Lines are text, whatever is in them.

import { h, fill, put } from "./dom.js";
import { clock, now, plain } from "./format.js";
import { pieces, repeat, Failure } from "./api.js";

const kept = 1000; // lines
const longest = 4096; // characters of one that are shown
const patience = 4000; // milliseconds that a line may come later than others have

const stamp = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (.*)$/s;

// logs is a section that follows the output of a container until the signal.
export function logs(name, signal) {
  const out = h("div", { class: "lines", role: "log", "aria-live": "off", "aria-label": `Output of ${name}`, tabindex: 0 });
  const empty = h("p", { class: "none" }, "Nothing was written yet.");
  const follow = h("input", { type: "checkbox", checked: true });
  const stream = h("select", { "aria-label": "Stream" }, h("option", { value: "" }, "all output"), h("option", { value: "stdout" }, "stdout"), h("option", { value: "stderr" }, "stderr"));
  const count = h("span", { class: "quiet" });
  const element = h("section", { class: "card logs", "aria-labelledby": "logs" },
    h("div", { class: "head" }, h("h2", { id: "logs" }, "Output"), count, h("span", { class: "grow" }), stream, h("label", {}, follow, " keep at the end")), empty, out);

  let reading;
  follow.addEventListener("change", () => follow.checked && (out.scrollTop = out.scrollHeight));
  out.addEventListener("scroll", () => { follow.checked = out.scrollTop + out.clientHeight > out.scrollHeight - 24; });
  stream.addEventListener("change", begin);
  begin();

  function begin() {
    reading?.abort();
    reading = new AbortController();
    fill(out);
    put(count, "");
    empty.hidden = false;
    read(AbortSignal.any([reading.signal, signal]), stream.value);
  }

  function read(until, which) {
    let latest = ""; // the time of the last line: where to go on
    let from = ""; // where this connection went on: lines up to there are known
    let rest = "";
    let before = ""; // the time of the line before, of this connection or of the one it goes on with
    let turned = false; // the node's clock was turned back: times do not tell any more what is known
    let least = Infinity; // how late lines come at least, in milliseconds; what the two clocks differ is in it
    let behind = false; // the page was, and goes on at the end
    const take = (text) => {
      const parts = (rest + text).split("\n");
      rest = parts.pop();
      if (rest.length > 1 << 16) parts.push(rest.slice(0, longest)), (rest = "");
      const lines = [];
      let newest = "";
      for (const part of parts.slice(-kept)) {
        const [, time, line] = part.match(stamp) ?? [part, "", part];
        if (Date.parse(time) < Date.parse(before) - 1000) (turned = true), (from = "");
        if (time) newest = before = latest = time;
        if (!time || time > from) lines.push([time, line]);
      }
      show(lines);
      if (!newest) return false;
      const late = Date.now() - Date.parse(newest);
      least = Math.min(least, late);
      behind = late > least + patience;
      return behind;
    };
    const query = () => (latest && !behind ? `since=${latest}` : "tail=300") + (which ? `&stream=${which}` : "");
    return repeat(until, 1, async () => {
      if (turned || Date.parse(latest) > now() + patience) {
        fill(out);
        latest = "";
      }
      if (turned || behind) least = Infinity;
      if (behind) show([["", "… what is written faster than it can be shown is left out"]]);
      rest = "";
      from = latest;
      before = behind ? "" : latest;
      const path = `/v1/containers/${encodeURIComponent(name)}/logs?follow=1&timestamps=1&${query()}`;
      turned = behind = false;
      await pieces(path, until, take);
    }, (error) => error instanceof Failure && put(empty, error.status === 404 ? "Nothing was written yet." : error.message));
  }

  function show(lines) {
    if (!lines.length) return;
    lines = lines.slice(-kept);
    empty.hidden = true;
    out.append(...lines.map(([time, text]) => h("div", { class: "line" }, h("time", { datetime: time, title: time }, clock(time)), h("span", {}, plain(text.replace(/\r$/, "").slice(0, longest)) || " "))));
    while (out.childElementCount > kept) out.firstChild.remove();
    put(count, `${out.childElementCount} ${out.childElementCount === 1 ? "line" : "lines"}`);
    if (follow.checked) out.scrollTop = out.scrollHeight;
  }
  return element;
}
