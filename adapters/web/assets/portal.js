/* Tells that new messages came in a conversation that is open. Everything else works without script. */
"use strict";
for (const news of document.querySelectorAll("[data-portal-events]")) {
  if (!("EventSource" in window)) continue;
  const source = new EventSource(news.dataset.portalEvents);
  source.addEventListener("message", () => {
    // Reading them is a page view, which the log knows: so nothing is read until somebody asks for it.
    news.querySelector("a").hidden = false;
    source.close();
  });
}
