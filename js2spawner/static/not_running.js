// Fetches the end of the console log once an operator opens it. A console is written by the instance: text only, never markup.

import { ask } from "./hub.js";
import "./times.js";

const SHOWN_CHARACTERS = 100_000;

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
