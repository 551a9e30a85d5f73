// What a container writes, as it writes it. Lines are text, whatever is in them.

import { h, fill, put } from "./dom.js";
import { clock, plain } from "./format.js";
import { pieces, repeat, Failure } from "./api.js";

const kept = 1000; // lines
const longest = 4096; // characters of one that are shown

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
    const take = (text) => {
      const parts = (rest + text).split("\n");
      rest = parts.pop();
      if (rest.length > 1 << 16) parts.push(rest.slice(0, longest)), (rest = "");
      show(parts.map((part) => part.match(stamp) ?? [part, "", part]).filter(([, time]) => !time || time > from));
      for (const part of parts) latest = part.match(stamp)?.[1] ?? latest;
    };
    const query = () => (latest ? `since=${latest}` : "tail=300") + (which ? `&stream=${which}` : "");
    return repeat(until, 1, async () => {
      rest = "";
      from = latest;
      await pieces(`/v1/containers/${encodeURIComponent(name)}/logs?follow=1&timestamps=1&${query()}`, until, take);
    }, (error) => error instanceof Failure && put(empty, error.status === 404 ? "Nothing was written yet." : error.message));
  }

  function show(lines) {
    if (!lines.length) return;
    empty.hidden = true;
    out.append(...lines.map(([, time, text]) => h("div", { class: "line" }, h("time", { datetime: time, title: time }, clock(time)), h("span", {}, plain(text.replace(/\r$/, "").slice(0, longest)) || " "))));
    while (out.childElementCount > kept) out.firstChild.remove();
    put(count, `${out.childElementCount} ${out.childElementCount === 1 ? "line" : "lines"}`);
    if (follow.checked) out.scrollTop = out.scrollHeight;
  }
  return element;
}
