// Draws a picture of progress_model.js. Everything goes in as text, never as markup.

import { clock, span, usually } from "./durations.js";
import { current } from "./progress_model.js";

const SAID = { waiting: "not yet", begun: "under way", done: "done", failed: "failed" };
const PAGE = document.title;

const part = (id) => document.getElementById(id);
const announced = new Set();

/** Draws everything; `now` is the hub's time in milliseconds. */
export function draw(picture, now) {
  if (picture.image) set(part("js2-what"), `${picture.image} on ${picture.flavor}${picture.attempt > 1 ? ` · attempt ${picture.attempt}` : ""}`);
  drawRetries(picture);
  drawStages(picture.stages);
  set(part("js2-note"), picture.note);
  tick(picture, now);
  announce(picture);
  document.title = titleOf(picture);
}

/** Draws only what the passing of time changes. */
export function tick(picture, now) {
  if (picture.startedAt !== null) set(part("js2-elapsed"), clock((now - picture.startedAt) / 1000));
  const rows = part("js2-stages").children;
  picture.stages.forEach((stage, index) => tickStage(rows[index], stage, now));
}

function drawStages(stages) {
  const list = part("js2-stages");
  const names = stages.map((stage) => stage.name).join("|");
  if (list.dataset.names !== names) {
    list.replaceChildren(...stages.map(row));
    list.dataset.names = names;
  }
  stages.forEach((stage, index) => {
    const item = list.children[index];
    item.dataset.state = stage.state;
    if (stage.state === "begun") item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
    set(item.querySelector(".js2-stage-title"), stage.title || stage.name);
    set(item.querySelector(".js2-stage-state"), SAID[stage.state]);
    set(item.querySelector(".js2-stage-detail"), stage.detail);
    set(item.querySelector(".js2-stage-typical"), usually(stage.typical));
    item.querySelector(".js2-bar").classList.toggle("is-unknown", !stage.typical);
    if (stage.typical) item.style.setProperty("--usual", `${(100 * Math.min(1, stage.typical.p50_s / stage.typical.p90_s)).toFixed(1)}%`);
  });
}

function row() {
  return part("js2-stage-row").content.firstElementChild.cloneNode(true);
}

function tickStage(item, stage, now) {
  if (stage.begunAt === null) return;
  const tookS = Math.max(0, ((stage.endedAt ?? now) - stage.begunAt) / 1000);
  set(item.querySelector(".js2-stage-time"), span(tookS));
  if (!stage.typical) return;
  item.style.setProperty("--filled", `${Math.min(100, (100 * tookS) / stage.typical.p90_s).toFixed(1)}%`);
  item.classList.toggle("is-late", stage.state === "begun" && tookS > stage.typical.p90_s);
}

function drawRetries({ retries }) {
  const list = part("js2-retries");
  while (list.children.length > retries.length) list.lastElementChild.remove();
  retries.forEach((retry, index) => {
    const item = list.children[index] ?? list.appendChild(document.createElement("li"));
    set(item, whyAgain(retry));
  });
}

/** What became of the attempt before this retry. */
export function whyAgain({ attempt, why }) {
  return `Attempt ${attempt - 1} did not work: ${why || "no reason was given."}`;
}

/** One polite sentence per change of a stage or attempt, and never the same twice, however often the story is replayed. */
function announce({ attempt, stages, retries }) {
  const changes = [
    ...retries.map((retry) => [`retry/${retry.attempt}`, `${whyAgain(retry)} Trying again.`]),
    ...stages
      .filter((stage) => stage.state !== "waiting")
      .map((stage) => [`${attempt}/${stage.name}/${stage.state}`, `${stage.title}: ${SAID[stage.state]}.`]),
  ].filter(([key]) => !announced.has(key));
  if (changes.length === 0) return;
  changes.forEach(([key]) => announced.add(key));
  part("js2-live").textContent = changes.at(-1)[1];
}

function titleOf(picture) {
  if (picture.outcome === "ready") return `Ready · ${PAGE}`;
  if (picture.outcome === "failed") return `Failed · ${PAGE}`;
  const stage = current(picture);
  if (!stage) return PAGE;
  const number = picture.stages.indexOf(stage) + 1;
  return `${number}/${picture.stages.length} ${stage.title} · ${PAGE}`;
}

function set(element, value) {
  if (element.textContent !== value) element.textContent = value;
}
