// The library page: finds packages while somebody types. Without this the form asks the hub, with the same answer.

import { ask } from "./hub.js";
import { search } from "./library_search.js";
import "./times.js";

const KINDS = { pypi: "Python", deb: "Debian", cran: "R" };

const page = document.getElementById("js2-library");
const form = document.getElementById("js2-find");
const asked = document.getElementById("js2-asked");
let lists = null;
if (form) begin();

function begin() {
  asked.addEventListener("focus", load, { once: true });
  asked.addEventListener("input", follow);
  form.addEventListener("submit", (event) => {
    // Until the lists are here, and if they never come, the hub searches.
    if (!Array.isArray(lists)) return;
    event.preventDefault();
    follow();
  });
  window.addEventListener("hashchange", open);
  open();
  if (document.activeElement === asked) load();
}

/** The lists of all images, fetched once somebody is about to ask; the browser keeps them until they change. */
async function load() {
  if (lists) return;
  lists = ask(page.dataset.lists, { xsrf: page.dataset.xsrf, cache: "no-cache" });
  try {
    lists = (await (await lists).json()).images;
    if (asked.value !== asked.defaultValue) follow();
  } catch (problem) {
    lists = null;
    document.getElementById("js2-sentence").textContent = `The lists could not be loaded: ${problem.message} Press Find to ask the hub.`;
  }
}

function follow() {
  if (!Array.isArray(lists)) {
    load();
    return;
  }
  const found = search(lists, asked.value);
  document.getElementById("js2-sentence").textContent = found.sentence;
  document.getElementById("js2-hits").replaceChildren(...found.hits.map(hitElement));
  const more = document.getElementById("js2-more");
  more.hidden = found.more === 0;
  more.textContent = `${found.more} more: type more of the name.`;
  const here = new URL(location.href);
  if (asked.value.trim()) here.searchParams.set("q", asked.value.trim());
  else here.searchParams.delete("q");
  history.replaceState(null, "", here);
}

function hitElement({ kind, name, places }) {
  const element = document.createElement("li");
  const list = made("ul", "js2-places");
  list.append(...places.map(placeElement));
  element.append(made("b", "js2-hit-name", name), " ", made("span", "js2-kind-badge", KINDS[kind] ?? kind), list);
  return element;
}

function placeElement({ image, title, version }) {
  const element = document.createElement("li");
  const link = made("a", "", title);
  link.href = `#js2-image-${encodeURIComponent(image)}`;
  element.append(link, " ", made("span", "", version));
  return element;
}

function made(tag, name, text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}

/** Who comes from the choice page to one image, or from a hit, wants to see what is in it. */
function open() {
  const list = document.getElementById(location.hash.slice(1))?.querySelector("details");
  if (list) list.open = true;
}
