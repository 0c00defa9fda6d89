/* privet: upgrades what works without it. No dependency, nothing stored, nothing loaded before it is granted. */
(() => {
  "use strict";
  const tag = document.currentScript, base = tag.dataset.privetBase;
  let state = JSON.parse(tag.dataset.privet);
  const framed = window.top !== window.self;
  const listeners = {};
  /* What happens, where a regime allows it without a grant too. */
  const granted = (category) => state.categories[category] === "granted" || (state.open || []).includes(category);
  const emit = (name, detail) => (listeners[name] || []).forEach((f) => f(detail));

  /* Scripts and frames that wait for a category. */
  const release = () => {
    document.querySelectorAll("script[type='text/plain'][data-privet-category]").forEach((held) => {
      if (!granted(held.dataset.privetCategory)) return;
      const free = document.createElement("script");
      for (const { name, value } of held.attributes) if (name !== "type" && name !== "data-privet-category") free.setAttribute(name, value);
      if (held.dataset.privetType) free.type = held.dataset.privetType;
      free.text = held.text;
      if (held.nonce) free.nonce = held.nonce;
      held.replaceWith(free);
    });
    document.querySelectorAll("iframe[data-privet-src][data-privet-category]").forEach((held) => {
      if (granted(held.dataset.privetCategory) && !held.src) held.src = held.dataset.privetSrc;
    });
  };

  /* Storage beside cookies: kind, name, category, service. */
  const started = new Set();
  const matcher = (name) => new RegExp("^" + name.replace(/<[^>]*>|[^<]+/g, (p) => p[0] === "<" ? "[A-Za-z0-9_-]+" : p.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")) + "$");
  const declared = (state.storage || []).map(([kind, name, category, service, free]) => ({ kind, is: matcher(name), category, service, free }));
  const open = (item) => item.category ? granted(item.category) || (item.free && state.categories[item.category] !== "refused") : item.service ? started.has(item.service) : true;
  const area = (kind) => kind === "local-storage" ? window.localStorage : window.sessionStorage;
  const find = (key) => declared.find((item) => item.kind !== "indexed-db" && item.is.test(key));
  const guarded = (key, use) => {
    const item = find(key);
    if (!item) { console.warn(`privet: "${key}" is not declared in the catalogue; declare it with storage = "local-storage" or "session-storage"`); return null; }
    return open(item) ? use(area(item.kind)) : null;
  };
  const storage = {
    get: (key) => guarded(key, (s) => s.getItem(key)),
    set: (key, value) => guarded(key, (s) => (s.setItem(key, value), true)) === true,
    remove: (key) => guarded(key, (s) => s.removeItem(key)),
  };
  const clear = () => declared.filter((item) => item.category && !open(item)).forEach((item) => {
    if (item.kind === "indexed-db") {
      if (indexedDB.databases) indexedDB.databases().then((all) => all.forEach(({ name }) => item.is.test(name) && indexedDB.deleteDatabase(name)));
      return;
    }
    const s = area(item.kind);
    Object.keys(s).forEach((key) => item.is.test(key) && s.removeItem(key));
  });

  /* Google Consent Mode v2, for pages that have it. */
  const signals = { ad_storage: "marketing", ad_user_data: "marketing", ad_personalization: "marketing", analytics_storage: "analytics",
    functionality_storage: "functional", personalization_storage: "functional" };
  const tell = () => {
    if (!window.dataLayer) return;
    const values = {};
    for (const [signal, category] of Object.entries(signals)) if (category in state.categories) values[signal] = granted(category) ? "granted" : "denied";
    (function () { window.dataLayer.push(arguments); })("consent", "update", values);
  };

  const take = (fresh) => {
    const before = Object.keys(state.categories).filter(granted);
    state = { ...state, ...fresh };
    const lost = before.some((c) => !granted(c));
    if (state.decided) document.querySelectorAll("#privet-notice").forEach((n) => n.remove());
    clear(); tell(); release(); emit("change", { ...state.categories });
    /* A script that ran cannot be taken back: the page begins anew without it. */
    if (lost) location.reload();
    return state;
  };
  const post = async (path, body) => {
    const answer = await fetch(base + path, { method: "POST", credentials: "same-origin", headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify(body) });
    /* The notice has changed: the settings show the one of today. */
    if (answer.status === 409) { location.assign(base); return new Promise(() => {}); }
    if (!answer.ok) throw new Error(`privet: ${answer.status}`);
    return answer.json();
  };

  /* A form of ours is sent without leaving the page; where that fails, the browser sends it. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches || !form.matches("form[data-privet-form]")) return;
    event.preventDefault();
    if (framed || !event.isTrusted) return;
    const data = new FormData(form, event.submitter);
    /* Not `form.action`: that is the button of this name. */
    const path = form.getAttribute("action").slice(base.length);
    const body = { categories: data.getAll("category"), notice: data.get("notice") || "", action: data.get("action") || "" };
    const page = location.pathname === base;
    post(path, body).then(take).then(() => page && location.reload()).catch(() => {
      if (event.submitter && event.submitter.name) {
        const field = Object.assign(document.createElement("input"), { type: "hidden", name: event.submitter.name, value: event.submitter.value });
        form.append(field);
      }
      form.submit();
    });
  });

  window.privet = Object.freeze({
    granted,
    get state() { return { ...state.categories }; },
    on: (name, f) => { (listeners[name] = listeners[name] || []).push(f); },
    storage,
    /* The visitor's own gesture starts a service: pass the event of the click. */
    activate: async (service, event) => {
      if (framed || !event || !event.isTrusted) throw new Error("privet: a service is started by the visitor's own gesture");
      await post("/activate", { service });
      started.add(service);
    },
    /* The choice of a third-party consent platform: categories by id, true or false. */
    update: async (choice, { source } = {}) => {
      if (framed) throw new Error("privet: nothing is granted inside a frame");
      const wanted = Object.keys(state.categories).filter((c) => c in choice ? choice[c] === true : granted(c));
      return take(await post("/consent", { action: "save", categories: wanted, notice: state.notice, source }));
    },
  });
  clear(); tell(); release();
  document.dispatchEvent(new CustomEvent("privet:ready"));
})();
