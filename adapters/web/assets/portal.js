/* Shows new messages of a conversation as they come. Without script, or when this ends, the page shows them when it is
   loaded again. Text stays text: nothing of a message is read as markup. */
(() => {
  "use strict";
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
    const time = made("time", "", new Date(at).toLocaleString(document.documentElement.lang || undefined));
    time.dateTime = at;
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
