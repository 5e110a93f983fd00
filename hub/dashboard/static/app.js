// What the pages cannot do by themselves: they work without this, too, but stay
// as they were loaded. All text comes from the hub, escaped there.
const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("kronvoy", { createHTML: (html) => html })
  : { createHTML: (html) => html };
const parse = (html) => new DOMParser().parseFromString(policy.createHTML(html), "text/html");

// The theme: what the system says, until somebody chooses.
const toggle = document.querySelector("[data-theme-toggle]");
if (toggle) {
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
  });
}

// On a phone the views are a strip that is scrolled: to where one is.
const strip = document.querySelector("nav"), here = strip?.querySelector("[aria-current]");
if (here) new ResizeObserver(() => { strip.scrollLeft = here.offsetLeft - strip.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2; }).observe(strip);

// Clocks count down by the hub's time: nobody's own clock need be right.
const ahead = Date.parse(document.body.dataset.now) - Date.now();
function countDown() {
  for (const clock of document.querySelectorAll("[data-until]")) {
    const left = Math.round((Date.parse(clock.dataset.until) - Date.now() - ahead) / 1000);
    const [h, m, s] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
    clock.textContent = left <= 0 ? "now" : `${h ? `${h}h` : ""}${h || m ? `${m}m` : ""}${s}s`;
  }
}
setInterval(countDown, 1000);

// What changed is announced seldom, and in one sentence.
const announceEvery = 8000;
const news = new Map();
let announcing = 0;
function announce(id, text) {
  news.set(id, text);
  announcing ||= setTimeout(() => {
    announcing = 0;
    const all = [...news.values()];
    news.clear();
    const more = all.length > 3 ? `, and ${all.length - 3} more changes` : "";
    document.getElementById("announce").textContent = all.slice(0, 3).join(", ") + more;
  }, announceEvery);
}

// Keeps the focus, and what is open, over a replacement.
function replace(old, fresh) {
  if (old.outerHTML === fresh.outerHTML) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const address = focused?.getAttribute("href");
  for (const open of old.querySelectorAll("details[open][id]")) {
    fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  }
  const kept = document.importNode(fresh, true);
  old.replaceWith(kept);
  if (focused?.id) kept.querySelector(`#${CSS.escape(focused.id)}`)?.focus({ preventScroll: true });
  else if (address) kept.querySelector(`[href="${CSS.escape(address)}"]`)?.focus({ preventScroll: true });
}

// Loads the page again, and takes over the parts that differ. A part that
// somebody is filling in stays as it is.
let loading = null;
async function reload() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected && new URL(answer.url).pathname === "/login") return location.assign(answer.url);
  const fresh = parse(await answer.text());
  for (const part of document.querySelectorAll("[data-part][id]")) {
    const next = fresh.getElementById(part.id);
    const typing = part.contains(document.activeElement) && document.activeElement.matches("input:not([type=hidden]), textarea, select");
    if (next && !typing) replace(part, next);
  }
  document.documentElement.dataset.updated = String(Date.now());
}
let last = 0;
function later(milliseconds) {
  const at = Math.max(Date.now(), last + milliseconds);
  if (loading && loading.at <= at) return;
  clearTimeout(loading?.timer);
  loading = { at, timer: setTimeout(async () => {
    loading = null;
    last = Date.now();
    try { await reload(); } catch { later(5000); }
  }, at - Date.now()) };
}

const address = document.body.dataset.stream;
if (address) {
  const source = new EventSource(address);
  const link = () => document.querySelector("#link .live");
  source.addEventListener("open", () => { if (link()) link().textContent = "Live"; });
  source.addEventListener("error", () => { if (link()) link().textContent = "Not connected"; });
  source.addEventListener("changed", () => later(1000));
  source.addEventListener("stale", () => later(10000));
  source.addEventListener("ended", () => { source.close(); location.reload(); });
  source.addEventListener("tile", (event) => {
    const patch = JSON.parse(event.data);
    const old = document.getElementById(`c-${patch.id}`);
    const fresh = parse(patch.html).querySelector("li");
    if (old && fresh) replace(old, fresh);
    else later(1000);
    if (patch.says) announce(patch.id, patch.says);
    document.documentElement.dataset.updated = String(Date.now());
  });
  source.addEventListener("gone", (event) => document.getElementById(`c-${JSON.parse(event.data).id}`)?.remove());
  source.addEventListener("counters", (event) => {
    const counters = JSON.parse(event.data);
    let total = 0;
    for (const n of Object.values(counters)) total += n;
    for (const b of document.querySelectorAll("[data-count]")) {
      const n = b.dataset.count === "total" ? total : counters[b.dataset.count] ?? 0;
      b.textContent = String(n);
      if (b.dataset.count !== "total") b.closest("li").classList.toggle("none", n === 0);
    }
  });
  addEventListener("pagehide", () => source.close());
}
