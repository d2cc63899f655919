// Keeps the page as it is now: fetches it again and swaps the parts that have changed. What there is to say is said by
// the server alone. Stops while nobody looks.
"use strict";

const INTERVAL_MS = 2000;
const PATIENCE_MS = 10000;
const contact = document.getElementById("contact");
const search = document.getElementById("search");
let timer = 0;
let asking = null;
let lastContact = new Date();

function swap(next) {
  document.title = next.title;
  for (const part of document.querySelectorAll("main [id]")) {
    const other = next.getElementById(part.id);
    const isOurs = part === contact || part === search || search?.contains(part);
    if (isOurs || !other || part.outerHTML === other.outerHTML) continue;
    const log = part.querySelector(".log, .scroll");
    const at = log ? log.scrollTop : 0;
    part.replaceWith(document.adoptNode(other));
    const after = other.querySelector(".log, .scroll");
    if (after) after.scrollTop = at;
  }
}

function lost(why) {
  contact.textContent = `${document.querySelector("h1").textContent} does not answer (${why}): this is how it was at ` +
    `${lastContact.toLocaleTimeString()}.`;
  contact.hidden = false;
  document.body.classList.add("stale");
}

async function look() {
  clearTimeout(timer);
  asking?.abort();
  if (document.hidden) return;
  const ours = asking = new AbortController();
  const patience = setTimeout(() => ours.abort("no answer in time"), PATIENCE_MS);
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: ours.signal });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    swap(new DOMParser().parseFromString(text, "text/html"));
    lastContact = new Date();
    contact.hidden = true;
    contact.textContent = "";
    document.body.classList.remove("stale");
  } catch (error) {
    // The one that comes after it tells.
    if (ours !== asking) return;
    lost(typeof error === "string" ? error : error.message);
  } finally {
    clearTimeout(patience);
  }
  if (ours === asking && !document.hidden) timer = setTimeout(look, INTERVAL_MS);
}

search?.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = new FormData(search).get("repo").trim();
  history.replaceState(null, "", name ? `/?repo=${encodeURIComponent(name)}` : "/");
  look();
});

document.addEventListener("visibilitychange", look);
// A page that reloads itself (`/?live`) needs no help.
if (search) timer = setTimeout(look, INTERVAL_MS);
