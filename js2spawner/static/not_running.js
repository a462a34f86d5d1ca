// Fetches the end of the console log once an operator opens it. A console is written by the instance: text only, never markup.

import { ask } from "./hub.js";
import "./times.js";

const SHOWN_CHARACTERS = 100_000;

/** A hub that was restarted has forgotten who waited, and kept the place: it can be taken again with one click. */
const keptPlace = document.getElementById("js2-kept-place");
if (keptPlace) offerPlace();

async function offerPlace() {
  const told = await ask(keptPlace.dataset.url).then((response) => response.json()).catch(() => null);
  if (!told?.kept || told.waits) return;
  const words = document.getElementById("js2-kept-place-words");
  words.textContent = told.position ? `Your place in the line is kept: number ${told.position} of ${told.of}.` : "Your place in the line is kept.";
  keptPlace.hidden = false;
  document.getElementById("js2-take-again").addEventListener("click", async ({ currentTarget: button }) => {
    button.disabled = true;
    try {
      await ask(button.dataset.start, { method: "POST", xsrf: button.dataset.xsrf, body: { user_options: told.options } });
      location.assign(button.dataset.pending);
    } catch (problem) {
      words.textContent = problem.message;
      button.disabled = false;
    }
  });
}

const consoleBox = document.getElementById("js2-console");
consoleBox?.addEventListener("toggle", load, { once: true });

async function load() {
  const output = consoleBox.querySelector("pre");
  try {
    const response = await ask(consoleBox.dataset.url, { accept: "text/plain" });
    output.textContent = (await response.text()).slice(-SHOWN_CHARACTERS) || "The console log is empty.";
    output.scrollTop = output.scrollHeight;
  } catch (problem) {
    output.textContent = problem.message;
  }
}
