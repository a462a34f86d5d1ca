// The choice page: an image rules out the flavors it does not run on, and the summary follows the choice.

import { usually } from "./durations.js";

const form = document.getElementById("spawn_form");
const choices = JSON.parse(document.getElementById("js2-choices")?.textContent ?? "null");
if (form && choices) begin();

function begin() {
  form.addEventListener("change", (event) => {
    if (event.target.name === "image" || event.target.name === "flavor") follow();
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

/** A link may name an image behind "#": the page of saved images does. */
function pickNamed() {
  const named = location.hash.slice(1);
  const input = [...form.querySelectorAll('input[name="image"]:enabled')].find(({ value }) => value === named);
  if (input) input.checked = true;
}

function follow() {
  const image = choices.images.find((entry) => entry.name === picked("image"));
  if (image) {
    const moved = allowOnly(image);
    summarise(image, choices.flavors.find((entry) => entry.name === picked("flavor")), moved);
  }
}

function picked(name) {
  return form.querySelector(`input[name="${name}"]:checked`)?.value;
}

/** Disables what the image does not run on, and answers the title of the flavor the choice had to leave, if any. */
function allowOnly(image) {
  let left = "";
  for (const card of form.querySelectorAll("[data-flavor]")) {
    const flavor = choices.flavors.find((entry) => entry.name === card.dataset.flavor);
    const input = card.querySelector("input");
    const fits = image.flavors.includes(flavor.name);
    const usable = flavor.usable && fits;
    if (input.checked && !usable) {
      left = flavor.title;
      input.checked = false;
    }
    input.disabled = !usable;
    card.classList.toggle("is-off", !usable);
    const room = card.querySelector(".js2-room");
    room.dataset.room = usable ? flavor.room : "off";
    if (!flavor.usable) room.textContent = flavor.why_not;
    else room.textContent = fits ? flavor.room_text : `${image.title} does not run on it.`;
  }
  if (!picked("flavor")) firstAllowed(image)?.click();
  return left;
}

function firstAllowed(image) {
  const open = [...form.querySelectorAll('input[name="flavor"]:enabled')];
  const roomy = open.find((input) => choices.flavors.find((entry) => entry.name === input.value).room !== "no");
  return roomy ?? open.find((input) => image.flavors.includes(input.value));
}

function summarise(image, flavor, moved) {
  const summary = document.getElementById("js2-summary");
  document.getElementById("js2-start").disabled = !flavor;
  if (!flavor) {
    summary.textContent = `No flavor that you may use runs ${image.title}.`;
    return;
  }
  const choice = document.createElement("strong");
  choice.textContent = `${image.title} on ${flavor.title}`;
  const facts = document.createElement("span");
  facts.textContent = factsOf(image, flavor, moved).join(" · ");
  summary.replaceChildren(choice, facts);
}

function factsOf(image, flavor, moved) {
  const typical = usually(choices.typical[`${image.name}|${flavor.name}`]);
  return [
    moved ? `moved from ${moved}, which does not run this image` : "",
    flavor.su_per_hour === null ? "" : `${flavor.su_per_hour} SU per hour`,
    typical ? `start takes ${typical}` : "typical start not known yet",
    life(image.profile),
  ].filter(Boolean);
}

function life({ idle_minutes: idle, longest_hours: longest }) {
  if (idle && longest) return `ends after ${idle} min idle, or ${longest} h`;
  if (idle) return `ends after ${idle} min idle`;
  return longest ? `ends after ${longest} h` : "runs until you stop it";
}

function pressed(yes) {
  const button = document.getElementById("js2-start");
  button.classList.toggle("is-busy", yes);
  button.textContent = yes ? "Starting…" : "Start";
  // Disabling before the browser has gathered the form would be too early in some browsers.
  setTimeout(() => { button.disabled = yes; });
}
