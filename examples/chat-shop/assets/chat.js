/* Upgrades the chat, which works without it. It stores nothing before the visitor opens the chat. */
(() => {
  "use strict";
  const chat = document.getElementById("chat");
  if (!chat) return;
  const list = chat.querySelector(".chat-messages"), form = chat.querySelector(".chat-form");
  const now = () => String(Date.now());
  /* Session cookies of the widget, each behind its own gate of the catalogue. */
  const remember = (name) => { document.cookie = `${name}=${now()}; path=/; samesite=lax; secure`; };

  let started = false;
  chat.querySelector("summary").addEventListener("click", async (event) => {
    const opens = !chat.open;
    if (opens && !started && window.privet) {
      try { await window.privet.activate("webwidget", event); started = true; remember("widget_opened_by_customer"); } catch { /* the chat works all the same */ }
    } else if (!opens && window.privet && window.privet.granted("functional")) {
      remember("widget_closed_by_customer");
    }
  });

  const show = ({ id, text, author }) => {
    if (id && [...list.children].some((item) => item.dataset.id === id)) return;
    const item = document.createElement("li");
    if (id) item.dataset.id = id;
    item.className = author === "visitor" ? "mine" : "theirs";
    item.textContent = text;
    list.append(item);
    item.scrollIntoView({ block: "nearest" });
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const data = new FormData(form);
    const body = { text: data.get("text"), channel: data.get("channel"), page: location.href };
    try {
      const answer = await fetch(form.action, { method: "POST", credentials: "same-origin", headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify(body) });
      if (!answer.ok) throw new Error(String(answer.status));
      (await answer.json()).messages.forEach(show);
      form.elements.text.value = "";
    } catch {
      show({ text: "This could not be sent. Please try again.", author: "assistant" });
    }
  });

  /* A person's answer comes by itself while somebody waits for it: the chat is open and seen, and something was said. */
  let asking = false;
  setInterval(async () => {
    if (asking || !chat.open || document.hidden || !list.querySelector("[data-id]")) return;
    asking = true;
    try {
      const answer = await fetch(form.action, { credentials: "same-origin", headers: { accept: "application/json" } });
      if (answer.ok) (await answer.json()).messages.forEach(show);
    } catch { /* the next one may come through */ }
    asking = false;
  }, 3000);
})();
