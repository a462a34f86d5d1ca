// The page that saves an instance: follows a save under way, and gives it up.

import { ask } from "./hub.js";
import { clock, span, usually } from "./durations.js";

const LOOK_EVERY_MS = 1_000;
const LOOK_LATER_MS = 5_000;
const STATES = { waiting: "not yet", begun: "under way", done: "done", failed: "failed" };

const page = document.getElementById("js2-save");
const section = document.getElementById("js2-saving");
const problemBox = document.getElementById("js2-problem");
let told = JSON.parse(document.getElementById("js2-save-told").textContent);
let toldAt = performance.now();

if (told && section) {
  show();
  document.getElementById("js2-give-up").addEventListener("click", giveUp);
  if (told.state === "under-way") {
    setInterval(tick, 1_000);
    setTimeout(look, LOOK_EVERY_MS);
  }
}

document.getElementById("js2-save-form")?.addEventListener("submit", ({ currentTarget: form }) => {
  const button = form.querySelector("#js2-save-now");
  button.textContent = "Saving…";
  // Disabling before the browser has gathered the form would be too early in some browsers.
  setTimeout(() => { button.disabled = true; });
});

async function look() {
  let next = LOOK_EVERY_MS;
  try {
    const { save, looking } = await (await ask(page.dataset.api)).json();
    problemBox.hidden = true;
    if (save?.id === told.id) {
      told = save;
      toldAt = performance.now();
      show();
      // The rest of the page (what can be done now) is the hub's to write.
      if (save.state !== "under-way") return location.reload();
    } else if (save || !looking) {
      return lost();
    }
  } catch (problem) {
    tell(problem.message);
    next = LOOK_LATER_MS;
  }
  setTimeout(look, next);
}

/** A hub that was restarted before the copy had begun knows nothing of it. */
function lost() {
  section.dataset.state = "failed";
  document.getElementById("js2-while-saving").hidden = true;
  tell("The hub was restarted before the copy had begun, so nothing was saved. Reload this page and save it again.");
}

async function giveUp({ currentTarget: button }) {
  if (!window.confirm("Stop saving, and throw away what was copied so far?")) return;
  button.disabled = true;
  try {
    await ask(page.dataset.api, { method: "DELETE", xsrf: page.dataset.xsrf });
    location.reload();
  } catch (problem) {
    tell(problem.message);
    button.disabled = false;
  }
}

function tell(sentence) {
  problemBox.textContent = sentence;
  problemBox.hidden = false;
}

function show() {
  section.dataset.state = told.state;
  for (const stage of told.stages) showStage(stage);
  tick();
}

function showStage(stage) {
  const item = section.querySelector(`[data-stage="${stage.name}"]`);
  item.dataset.state = stage.state;
  item.querySelector(".js2-stage-state").textContent = STATES[stage.state];
  item.querySelector(".js2-stage-usual").textContent = usually(stage.typical);
  if (stage.typical) item.querySelector(".js2-bar").style.setProperty("--usual", `${share(stage.typical.p50_s, stage.typical)}%`);
}

/** Between two answers of the hub the clocks go on by themselves. */
function tick() {
  const since = told.state === "under-way" ? (performance.now() - toldAt) / 1000 : 0;
  document.getElementById("js2-clock").textContent = clock(told.elapsed_s + since);
  for (const stage of told.stages) {
    if (stage.seconds === null) continue;
    const seconds = stage.seconds + (stage.state === "begun" ? since : 0);
    const item = section.querySelector(`[data-stage="${stage.name}"]`);
    item.querySelector(".js2-stage-time").textContent = span(seconds);
    const filled = stage.state === "begun" ? share(seconds, stage.typical) : 100;
    item.querySelector(".js2-bar").style.setProperty("--filled", `${filled}%`);
    item.classList.toggle("is-late", stage.state === "begun" && Boolean(stage.typical) && seconds > stage.typical.p90_s);
  }
}

function share(seconds, typical) {
  return typical?.p90_s ? Math.min(100, (100 * seconds) / typical.p90_s) : 0;
}
