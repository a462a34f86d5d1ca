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
  else if (picture.place) set(part("js2-what"), "It starts by itself when it is your turn.");
  set(part("js2-heading"), headingOf(picture));
  drawPlace(picture.place);
  drawRetries(picture);
  part("js2-stages").hidden = picture.place !== null;
  drawStages(picture.stages);
  set(part("js2-note"), picture.note);
  tick(picture, now);
  announce(picture);
  document.title = titleOf(picture);
}

/** Draws only what the passing of time changes. */
export function tick(picture, now) {
  const begunAt = picture.startedAt ?? picture.place?.since ?? null;
  if (begunAt !== null) set(part("js2-elapsed"), clock((now - begunAt) / 1000));
  if (picture.place?.since) set(part("js2-place-since"), `Waiting for ${span((now - picture.place.since) / 1000)}`);
  const rows = part("js2-stages").children;
  picture.stages.forEach((stage, index) => tickStage(rows[index], stage, now));
}

function drawPlace(place) {
  part("js2-place").hidden = place === null;
  set(part("js2-stop"), stopWord(place));
  if (place === null) return;
  set(part("js2-place-number"), String(place.position));
  set(part("js2-place-of"), `of ${place.of} who wait for ${place.waitsFor || "their turn"}`);
  set(part("js2-place-usual"), place.typicalS === null ? "" : `others waited about ${span(place.typicalS)} lately`);
  const list = part("js2-instead");
  const named = JSON.stringify(place.instead);
  // Drawn anew only when it is another list: a button under somebody's finger stays.
  if (list.dataset.named !== named) {
    list.replaceChildren(...place.instead.map(insteadRow));
    list.dataset.named = named;
  }
  part("js2-instead-box").hidden = place.instead.length === 0;
}

function insteadRow({ flavor, region, title }) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "js2-button", textContent: title || flavor });
  Object.assign(button.dataset, { flavor, region });
  const item = document.createElement("li");
  item.append(button);
  return item;
}

/** What the button that stops says; while it stops, what it says is not ours to change. */
function stopWord(place) {
  if (part("js2-stop").disabled) return part("js2-stop").textContent;
  return place === null ? "Stop this server" : "Leave the line";
}

function headingOf({ outcome, place }) {
  if (outcome === "ready") return "Your server is ready";
  if (outcome === "failed") return "Your server did not start";
  return place === null ? "Starting your server" : "Waiting in the line";
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
function announce({ attempt, stages, retries, place }) {
  const changes = [
    ...(place ? [[`place/${place.position}`, `You are number ${place.position} of ${place.of} in the line.`]] : []),
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
  if (picture.place) return `Number ${picture.place.position} of ${picture.place.of} · ${PAGE}`;
  const stage = current(picture);
  if (!stage) return PAGE;
  const number = picture.stages.indexOf(stage) + 1;
  return `${number}/${picture.stages.length} ${stage.title} · ${PAGE}`;
}

function set(element, value) {
  if (element.textContent !== value) element.textContent = value;
}
