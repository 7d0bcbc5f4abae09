"use strict";
// Progressive: without this script the page is whole, and shows what is at a reload. All markup
// comes from the proxy, in the page itself or by its event stream.

const byId = (id) => document.getElementById(id);
const MOST_ROWS = 200;
// The proxy sends something every 1.5 seconds: after this long it is not running.
const SILENCE = 4000;

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

// What the clock of this machine is ahead of the proxy's.
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

// ── the overview ──

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  localize(template.content);
  return template.content;
}

function heading() {
  return byId("verdict-heading").textContent;
}

function announce(before) {
  if (heading() !== before) byId("announce").textContent = heading();
}

function showOverview(html) {
  const old = byId("overview");
  const before = heading();
  const focused = old.contains(document.activeElement) ? document.activeElement.textContent : null;
  const open = new Set([...old.querySelectorAll("details[open]")].map((one) => one.dataset.keep));
  old.replaceWith(parsed(html).getElementById("overview"));
  for (const one of byId("overview").querySelectorAll("details")) one.open = open.has(one.dataset.keep);
  tick();
  if (focused !== null) {
    const again = [...byId("overview").querySelectorAll("a, button")]
      .find((element) => element.textContent === focused);
    if (again) again.focus();
  }
  announce(before);
}

function showState(data) {
  skew = Date.now() - data.now * 1000;
  if (Math.abs(skew) < 2000) skew = 0;
  showOverview(data.overview);
}

// ── whether the proxy is there ──

const live = byId("live");
let heardAt = Date.now();
let away = false;

function heard() {
  heardAt = Date.now();
  live.textContent = "live";
}

function watch() {
  if (away || Date.now() - heardAt < SILENCE) return;
  away = true;
  live.textContent = "not running";
  const before = heading();
  const notice = byId("away").content.cloneNode(true);
  const since = notice.querySelector("[data-now]");
  since.textContent = new Date(heardAt).toLocaleString("en-GB", STYLES.clock);
  document.querySelector("#overview .verdict").replaceWith(notice);
  document.body.classList.add("away");
  announce(before);
}

function back() {
  away = false;
  document.body.classList.remove("away");
}

// ── the requests ──

const rows = byId("rows");
const filter = byId("filter");
const pause = byId("pause");
let held = null;
// While paused the proxy came back: what it then had replaces the rows at the end of the pause.
let replaces = false;

function show(records) {
  const fresh = parsed(records.map((record) => record.row).join(""));
  rows.prepend(...[...fresh.children].reverse());
  while (rows.children.length > MOST_ROWS) rows.lastElementChild.remove();
}

function take(records, isSnapshot) {
  if (held === null) {
    if (isSnapshot) rows.replaceChildren();
    show(records);
  } else {
    if (isSnapshot) replaces = true;
    held = (isSnapshot ? records : [...held, ...records]).slice(-MOST_ROWS);
  }
  count();
}

pause.addEventListener("click", () => {
  const waiting = held;
  held = held === null ? [] : null;
  pause.setAttribute("aria-pressed", String(held !== null));
  if (waiting !== null) take(waiting, replaces);
  replaces = false;
  count();
});

function count() {
  pause.textContent = held === null ? "Pause" : held.length ? `Resume (${held.length})` : "Resume";
}

// The filter stands in the URL, and the proxy applies it: to the rows that are there, and to those
// that come.
function query() {
  const wanted = [...new FormData(filter)].filter(([, value]) => value.trim());
  return wanted.length ? `?${new URLSearchParams(wanted)}` : "";
}

let typing = 0;

function filtered() {
  clearTimeout(typing);
  typing = setTimeout(() => {
    history.replaceState(null, "", location.pathname + query() + location.hash);
    byId("empty").textContent = query()
      ? "No request fits the filter."
      : "Nothing yet. Each call shows up here as it happens.";
    connect();
  }, 200);
}

filter.addEventListener("input", filtered);
filter.addEventListener("submit", (event) => { event.preventDefault(); filtered(); });

// ── server-sent events ──

let source = null;

function connect() {
  if (source !== null) source.close();
  const stream = source = new EventSource(`/-/events${query()}`);
  const on = (name, take_) => stream.addEventListener(name, (event) => {
    heard();
    // It was only slow, and the page says otherwise: a new snapshot mends everything.
    if (away && name !== "snapshot") connect();
    else take_(JSON.parse(event.data));
  });
  on("snapshot", (data) => {
    back();
    showState(data);
    take(data.records, true);
  });
  on("request", (record) => take([record], false));
  on("state", showState);
  on("limits", (data) => byId("limits").replaceChildren(parsed(data.limits)));
  on("alive", () => {});
  stream.addEventListener("error", () => {
    // A browser gives up for good on an answer that is no event stream (a proxy just starting).
    if (stream.readyState === EventSource.CLOSED && stream === source) setTimeout(connect, 1500);
  });
}

// A page put away into the browser's cache must hold no connection.
window.addEventListener("pagehide", () => source.close());
window.addEventListener("pageshow", (event) => {
  if (event.persisted) { heardAt = Date.now(); connect(); }
});

// ── buttons and links ──

document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("[data-confirm]");
  if (button && !window.confirm(button.dataset.confirm)) event.preventDefault();
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
setInterval(() => { if (!away) tick(); watch(); }, 500);
openHelp();
connect();
