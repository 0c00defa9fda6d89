/* Times in the operator's own zone, exports with their progress, and new messages of a conversation as they come. Without
   script times are in UTC, an export is the browser's to show, and the page shows new messages when it is loaded again. Text
   stays text: nothing of a message is read as markup. */
(() => {
  "use strict";
  const local = new Intl.DateTimeFormat(document.documentElement.lang || undefined,
    { dateStyle: "medium", timeStyle: "short" });
  /* A day alone is a day of the figures, which are in UTC for everybody. */
  const tell = (time) => {
    if (!time.dateTime.includes("T")) return;
    time.title = time.textContent;
    time.textContent = local.format(new Date(time.dateTime));
  };
  document.querySelectorAll("time").forEach(tell);
  const made = (name, className, ...content) => {
    const element = document.createElement(name);
    element.className = className;
    element.append(...content);
    return element;
  };

  /* An export says how far it is, can be given up, and is kept only if it proves itself whole. */
  const size = new Intl.NumberFormat(document.documentElement.lang || undefined,
    { style: "unit", unit: "megabyte", maximumFractionDigits: 1 });
  const take = async (link, said, signal) => {
    const answer = await fetch(link.href, { signal });
    if (!answer.ok) throw new Error(answer.status);
    const parts = [];
    let bytes = 0;
    for (const reader = answer.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      said.textContent = size.format((bytes += value.length) / 1e6);
    }
    const whole = new Blob(parts, { type: answer.headers.get("content-type") });
    if (!(await whole.slice(-4096).text()).includes("manifest")) throw new Error("cut");
    const file = made("a", "");
    file.href = URL.createObjectURL(whole);
    file.download = /filename="([^"]*)"/.exec(answer.headers.get("content-disposition"))[1];
    file.click();
    URL.revokeObjectURL(file.href);
    said.dataset.whole = "yes";
  };
  for (const link of document.querySelectorAll("a[data-export]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const stop = new AbortController();
      const said = made("span", "small");
      said.setAttribute("role", "status");
      const cancel = made("button", "", link.dataset.cancel);
      cancel.type = "button";
      cancel.addEventListener("click", () => stop.abort());
      link.after(" ", said, " ", cancel);
      take(link, said, stop.signal)
        .catch(() => { said.textContent = stop.signal.aborted ? "" : link.dataset.failed; })
        .finally(() => cancel.remove());
    });
  }

  const list = document.getElementById("messages");
  const url = list && list.dataset.events;
  if (!url || !window.EventSource) return;
  const show = ({ number, at, author, text }) => {
    if ([...list.children].some((item) => item.value === number)) return;
    const time = made("time", "");
    time.dateTime = at;
    tell(time);
    /* What the page calls an author: data-visitor, data-assistant, data-agent. */
    const head = made("p", "small", made("strong", "", list.dataset[author] || author), " · ", time);
    const body = made("div", "text", text);
    body.dir = "auto";
    const item = made("li", author === "visitor" ? "" : "ours", head, body);
    item.value = number;
    list.append(item);
    item.scrollIntoView({ block: "nearest" });
  };
  const source = new EventSource(url);
  const end = () => { source.close(); list.dataset.live = "ended"; };
  source.addEventListener("open", () => { list.dataset.live = "on"; });
  source.addEventListener("message", (event) => show(JSON.parse(event.data)));
  source.addEventListener("closed", end);
  source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) end(); });
  addEventListener("pagehide", () => source.close());
  /* A page that comes back from the browser's own cache listens no more. */
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
