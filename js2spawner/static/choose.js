// The choice page: what the chosen image rules out, what its terms are, and the summary that follows the choice.

import { facts, named, offered } from "./choose_model.js";

const form = document.getElementById("spawn_form");
const choices = JSON.parse(document.getElementById("js2-choices")?.textContent ?? "null");
// What was confirmed is confirmed for one flavor only.
let confirmedFor = "";
// What becomes of an unused server is the image's usual way until somebody says otherwise.
let idleChosen = false;
if (form && choices) begin();

function begin() {
  form.addEventListener("change", ({ target }) => {
    idleChosen ||= target.name === "idle";
    follow();
  });
  form.addEventListener("submit", () => pressed(true));
  // The browser's back button shows this page as it was left: pressed.
  window.addEventListener("pageshow", () => {
    pressed(false);
    follow();
  });
  pickNamed();
  follow();
}

function pickNamed() {
  for (const [name, value] of named(location.hash.slice(1))) {
    check(name, value);
    idleChosen ||= name === "idle";
  }
}

function check(name, value) {
  const input = inputs(name).find((each) => each.value === value && !each.disabled);
  if (input) input.checked = true;
}

function inputs(name) {
  return [...form.querySelectorAll("input")].filter((input) => input.name === name);
}

function picked(name) {
  return inputs(name).find((input) => input.checked && !input.disabled)?.value;
}

function choice() {
  return { image: picked("image"), flavor: picked("flavor"), region: picked("region") ?? "", home: picked("home"), idle: picked("idle") };
}

function follow() {
  if (!offered(choices, choice())) return;
  // In this order: the home decides on the regions, and the image and the region on the flavors.
  showHome(offered(choices, choice()));
  showRegions(offered(choices, choice()));
  const moved = showFlavors(offered(choices, choice()));
  const now = offered(choices, choice());
  showIdle(now);
  showMore(now);
  summarise(now, moved);
}

/** Disables what the image does not run on, and answers the title of the flavor the choice had to leave, if any. */
function showFlavors({ flavors }) {
  let left = "";
  for (const flavor of flavors) {
    const card = cardOf("flavor", flavor.name);
    const input = card.querySelector("input");
    if (input.checked && !flavor.usable) {
      left = flavor.title;
      input.checked = false;
    }
    enable(card, flavor.usable);
    const room = card.querySelector(".js2-room");
    room.dataset.room = flavor.room;
    room.textContent = flavor.told;
  }
  if (!picked("flavor")) {
    const open = flavors.filter(({ usable }) => usable);
    const first = open.find(({ room }) => room !== "no") ?? open[0];
    if (first) cardOf("flavor", first.name).querySelector("input").checked = true;
  }
  return left;
}

function showHome({ home }) {
  const terms = document.getElementById("js2-home-terms");
  if (!terms) return;
  const without = form.querySelector('[data-option="no-home"]');
  if (without) without.hidden = !home.can;
  const known = form.querySelector('[data-option="known"]');
  known.hidden = !home.loses;
  require(known, home.loses);
  terms.hidden = !home.can && !home.loses;
}

function showIdle({ idle, image }) {
  const terms = document.getElementById("js2-idle-terms");
  if (!terms) return;
  terms.hidden = idle.length < 2;
  for (const card of terms.querySelectorAll("[data-idle]")) {
    const way = idle.find(({ value }) => value === card.dataset.idle);
    card.hidden = !way;
    card.querySelector("input").disabled = !way;
    if (!way) continue;
    card.querySelector(".js2-price").textContent = way.price;
    card.querySelector(".js2-option-about").textContent = way.told;
  }
  if (idleChosen && picked("idle")) return;
  const before = image.name === choices.chosen?.image ? idle.find(({ value }) => value === choices.chosen.idle) : null;
  if (idle.length > 0) check("idle", (before ?? idle[0]).value);
}

function showRegions({ regions, image }) {
  const terms = document.getElementById("js2-region-terms");
  if (!terms) return;
  terms.hidden = (image.regions?.length ?? 0) < 2;
  for (const region of regions) {
    const card = cardOf("region", region.name);
    const input = card.querySelector("input");
    if (input.checked && !region.usable) check("region", "");
    enable(card, region.usable);
    const about = card.querySelector(".js2-option-about");
    about.dataset.state = region.usable ? region.state : "off";
    about.textContent = region.told;
  }
  if (terms.hidden) check("region", "");
}

function showMore({ fallback, confirm, flavor }) {
  const terms = document.getElementById("js2-more-terms");
  if (!terms) return;
  const further = form.querySelector('[data-option="fallback"]');
  if (further) {
    further.hidden = !fallback;
    further.querySelector("input").disabled = !fallback;
    further.querySelector(".js2-option-about").textContent = fallback;
  }
  const price = form.querySelector('[data-option="confirm"]');
  if (price) {
    const tick = price.querySelector("input");
    if (flavor && confirmedFor !== flavor.name) tick.checked = false;
    confirmedFor = flavor?.name ?? "";
    price.hidden = !confirm;
    require(price, Boolean(confirm));
    price.querySelector(".js2-option-about").textContent = confirm;
  }
  terms.hidden = (!further || further.hidden) && (!price || price.hidden);
}

/** A box that must be ticked before the form goes out; one that is not asked for says nothing. */
function require(card, yes) {
  const tick = card.querySelector("input");
  tick.required = yes;
  tick.disabled = !yes;
}

function cardOf(kind, name) {
  return [...form.querySelectorAll(`[data-${kind}]`)].find((card) => card.dataset[kind] === name);
}

function enable(card, usable) {
  card.querySelector("input").disabled = !usable;
  card.classList.toggle("is-off", !usable);
}

function summarise(now, moved) {
  const summary = document.getElementById("js2-summary");
  document.getElementById("js2-start").disabled = !now.flavor;
  if (!now.flavor) {
    summary.textContent = `No flavor that you may use runs ${now.image.title}.`;
    return;
  }
  const what = document.createElement("strong");
  what.textContent = `${now.image.title} on ${now.flavor.title}`;
  const told = document.createElement("span");
  told.textContent = facts(choices, now, choice(), moved).join(" · ");
  summary.replaceChildren(what, told);
}

function pressed(yes) {
  const button = document.getElementById("js2-start");
  button.classList.toggle("is-busy", yes);
  button.textContent = yes ? "Starting…" : "Start";
  // Disabling before the browser has gathered the form would be too early in some browsers.
  setTimeout(() => { button.disabled = yes; });
}
