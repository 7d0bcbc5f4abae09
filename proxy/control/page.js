"use strict";
// Progressive: without this script the page is whole, and shows what is at a reload.
document.documentElement.classList.add("js");

const byId = (id) => document.getElementById(id);
const MOST_ROWS = 200;

// ── instants and countdowns ──

const STYLES = {
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  day: { day: "numeric", month: "long", year: "numeric" },
  full: { day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" },
};

function localize(root) {
  for (const time of root.querySelectorAll("time[data-style]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleString("en-GB", STYLES[time.dataset.style]);
    time.title = at.toLocaleString();
    delete time.dataset.style;
  }
}

// What the clock of this machine is ahead of the proxy's, learnt from the Date of its answers.
let skew = 0;

function words(seconds) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 seconds";
  const parts = [];
  let left = seconds;
  for (const [unit, size] of units.slice(first, first + 2)) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${unit}${count === 1 ? "" : "s"}`);
  }
  return parts.join(" ");
}

function tick() {
  const now = Date.now() - skew;
  for (const place of document.querySelectorAll("[data-countdown]")) {
    const left = Math.round((new Date(place.dataset.countdown) - now) / 1000);
    place.textContent = left > 0 ? `${words(left)} left` : place.dataset.ended;
  }
  for (const bar of document.querySelectorAll("progress[data-end]")) {
    bar.value = Math.max(0, (new Date(bar.dataset.end) - now) / 1000);
  }
}

// ── the overview: rendered by the proxy alone; asked for anew when something changed ──

let asking = false;
let askAgain = false;

async function refresh() {
  if (asking) { askAgain = true; return; }
  asking = true;
  try {
    const answer = await fetch("/-/", { headers: { Accept: "text/html" } });
    const text = await answer.text();
    if (answer.ok) {
      const date = Date.parse(answer.headers.get("Date"));
      if (date && Math.abs(Date.now() - date) > 2000) skew = Date.now() - date;
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("overview");
      const old = byId("overview");
      if (fresh && old) swap(old, fresh);
    }
  } catch {
    // The proxy is away: the event stream says so, and asks again when it is back.
  }
  asking = false;
  if (askAgain) { askAgain = false; refresh(); }
}

function swap(old, fresh) {
  const heading = old.querySelector("h1").textContent;
  const focused = old.contains(document.activeElement) ? document.activeElement.textContent : null;
  old.replaceWith(document.importNode(fresh, true));
  const now = byId("overview");
  localize(now);
  tick();
  if (focused !== null) {
    const again = [...now.querySelectorAll("a, button")].find((e) => e.textContent === focused);
    if (again) again.focus();
  }
  const said = now.querySelector("h1").textContent;
  if (said !== heading) byId("announce").textContent = said;
}

// ── the requests ──

const rows = byId("rows");
const filter = byId("filter");
const pause = byId("pause");
let held = null;
// While paused the proxy came back: what it then had replaces the rows at the end of the pause.
let replaces = false;

function isWanted(row) {
  const text = row.textContent.toLowerCase();
  return filter.value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function build(records) {
  const template = document.createElement("template");
  template.innerHTML = records.map((record) => record.row).join("");
  localize(template.content);
  const built = [...template.content.children];
  for (const row of built) row.hidden = !isWanted(row);
  return built;
}

function show(records) {
  rows.prepend(...build(records).reverse());
  while (rows.children.length > MOST_ROWS) rows.lastElementChild.remove();
}

function applyFilter() {
  for (const row of rows.children) row.hidden = !isWanted(row);
}

filter.addEventListener("input", applyFilter);
filter.form.addEventListener("submit", (event) => event.preventDefault());
pause.addEventListener("click", () => {
  const pausing = held === null;
  pause.setAttribute("aria-pressed", String(pausing));
  if (pausing) {
    held = [];
  } else {
    const waiting = held;
    held = null;
    if (replaces) rows.replaceChildren();
    replaces = false;
    show(waiting);
  }
  count();
});

function count() {
  pause.textContent = held === null ? "Pause" : held.length ? `Resume (${held.length})` : "Resume";
}

// ── server-sent events ──

const live = byId("live");

function connect() {
  const source = new EventSource("/-/events");
  source.addEventListener("snapshot", (event) => {
    live.textContent = "live";
    const data = JSON.parse(event.data);
    if (held === null) {
      rows.replaceChildren(...build(data.records).reverse());
    } else {
      held = data.records;
      replaces = true;
    }
    count();
    refresh();
  });
  source.addEventListener("request", (event) => {
    const record = JSON.parse(event.data);
    if (held === null) show([record]);
    else { held = [...held, record].slice(-MOST_ROWS); count(); }
  });
  source.addEventListener("state", refresh);
  source.addEventListener("error", () => {
    live.textContent = "the proxy is away, waiting for it";
    // A browser gives up for good on an answer that is no event stream (a proxy just starting).
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
  // A page put away into the browser's cache must hold no connection.
  window.addEventListener("pagehide", () => source.close(), { once: true });
}
window.addEventListener("pageshow", (event) => { if (event.persisted) connect(); });

// ── buttons ──

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = button.parentElement.querySelector("input");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // No clipboard on a plain-http address: select, and let the person copy.
    field.select();
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  byId("announce").textContent = `Copied: ${button.previousElementSibling.getAttribute("aria-label")}`;
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
});

document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("[data-confirm]");
  if (button && !window.confirm(button.dataset.confirm)) event.preventDefault();
});

document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-select]")) event.target.select();
});

function openHelp() {
  if (location.hash.startsWith("#problem")) {
    byId("problems").open = true;
    const target = byId(location.hash.slice(1));
    if (target) target.scrollIntoView({ block: "center" });
  }
}
window.addEventListener("hashchange", openHelp);

localize(document);
tick();
setInterval(tick, 1000);
openHelp();
connect();
