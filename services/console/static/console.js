// What the pages gain with JavaScript; each works without it. No page may depend on this file.
//
// Keys: j and k move between rows ([data-row]), Enter opens one, x selects it, / searches, g and a letter goes to a
// room, ? shows the keys, Esc leaves. An element with data-key="e" is pressed by e: in the row that is marked, else on
// the page. All single keys can be switched off (WCAG 2.1.4); that is kept in this browser.

document.documentElement.classList.remove("no-script");

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `touchline_zone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}

const OFF = "touchline-keys-off";
const ROOMS = { h: "/", r: "/rules", p: "/playbooks", m: "/templates", t: "/tasks", a: "/accounts", d: "/deliveries", s: "/settings" };
let leading = false;

const keysAreOff = () => localStorage.getItem(OFF) === "1";
const showKeys = () => document.body.classList.toggle("no-keys", keysAreOff());
const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
const here = () => document.querySelector("[data-row].here");

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(here());
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  mark(next);
  next.scrollIntoView({ block: "nearest" });
}

function mark(row) {
  here()?.classList.remove("here");
  row.classList.add("here");
  const first = row.querySelector(".opens > summary") ?? row.querySelector("a, summary, button, input:not([type=checkbox])");
  (first ?? row).focus({ preventScroll: true });
}

// While rows are ticked, a key is for all of them.
function bulk(key) {
  if (!document.querySelector("[data-row] input[type=checkbox]:checked")) return null;
  return document.querySelector(`[data-bulk-key="${CSS.escape(key)}"]`);
}

function press(key) {
  const wanted = `[data-key="${CSS.escape(key)}"]`;
  const closed = bulk(key) ? null : here()?.querySelector(".opens:not([open])");
  if (closed && !closed.querySelector("form")) { // what it opens to has yet to come
    closed.addEventListener("htmx:after:swap", () => press(key), { once: true });
    closed.open = true;
    return true;
  }
  const found = bulk(key) ?? here()?.querySelector(wanted) ?? document.querySelector(`main ${wanted}`);
  if (!found) return false;
  for (let outer = found.parentElement; (outer = outer?.closest("details")); outer = outer.parentElement) {
    if (outer !== found.closest("summary")?.parentElement) outer.open = true;
  }
  if (found.matches("textarea, select, input")) { found.focus(); return true; }
  found.click();
  found.closest("details")?.querySelector("form input:not([type=hidden]), form textarea, form select, form button")?.focus();
  return true;
}

const isTyping = (target) => target.matches?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    document.activeElement?.closest("details.confirm")?.removeAttribute("open");
    if (isTyping(event.target)) event.target.blur();
    return;
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form) {
    event.preventDefault();
    event.target.form.requestSubmit();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || keysAreOff()) return;
  if (leading) {
    leading = false;
    if (ROOMS[event.key]) location.assign(ROOMS[event.key]);
    return;
  }
  const act = {
    j: () => move(1),
    k: () => move(-1),
    g: () => { leading = true; setTimeout(() => { leading = false; }, 1500); },
    x: () => here()?.querySelector("input[type=checkbox]")?.click(),
    "/": () => document.querySelector("main input[type=search]")?.focus(),
    "?": () => document.getElementById("keys")?.showModal(),
  }[event.key];
  if (act) { event.preventDefault(); act(); return; }
  if (event.key.length === 1 && press(event.key)) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens)?.showModal();
  const copier = event.target.closest("[data-copies]");
  if (copier) {
    navigator.clipboard?.writeText(document.getElementById(copier.dataset.copies).textContent.trim());
    copier.textContent = "Copied";
  }
  const all = event.target.closest("[data-selects]");
  if (all) document.querySelectorAll(`input[name="${CSS.escape(all.dataset.selects)}"]`).forEach((box) => { box.checked = all.checked; });
  countChosen();
});

let pause;
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-live]");
  if (!form) return;
  clearTimeout(pause);
  pause = setTimeout(() => form.querySelectorAll("button[formtarget]").forEach((button, n) => {
    setTimeout(() => form.requestSubmit(button), 100 * n); // of two at once the browser drops the first
  }), 500);
});

function countChosen() {
  document.querySelectorAll("[data-count-of]").forEach((text) => {
    const n = document.querySelectorAll(`input[name="${CSS.escape(text.dataset.countOf)}"]:checked`).length;
    text.textContent = n ? `the ${n} chosen` : "the chosen";
  });
}

document.addEventListener("change", (event) => {
  countChosen();
  if (event.target.id === "keys-off") {
    localStorage.setItem(OFF, event.target.checked ? "1" : "0");
    showKeys();
  }
  if (event.target.closest("[data-sends]") && event.target.matches("select")) event.target.form.requestSubmit();
});

addEventListener("DOMContentLoaded", () => {
  const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (row?.matches("[data-row]")) mark(row);
  showKeys();
  const box = document.getElementById("keys-off");
  if (box) box.checked = keysAreOff();
});
