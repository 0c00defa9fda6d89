/* Times in the operator's own zone, and new messages of a conversation as they come. Without script times are in UTC, and the
   page shows new messages when it is loaded again. Text stays text: nothing of a message is read as markup. */
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
  const list = document.getElementById("messages");
  const url = list && list.dataset.events;
  if (!url || !window.EventSource) return;
  const made = (name, className, ...content) => {
    const element = document.createElement(name);
    element.className = className;
    element.append(...content);
    return element;
  };
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
