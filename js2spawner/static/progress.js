// The progress page: listens to the hub's event stream, draws it, and can stop this very server.

import { ask } from "./hub.js";
import { after, nothing } from "./progress_model.js";
import { draw, tick, whyAgain } from "./progress_view.js";

const SKEW_THAT_MATTERS_MS = 2_000; // the Date header counts whole seconds
// A proxy may keep our connection when the hub behind it has died: nothing comes any longer, and no error either.
const SILENCE_MS = 20_000;
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 30_000;

const page = document.getElementById("js2-progress");
const status = document.getElementById("js2-status");
const stopButton = document.getElementById("js2-stop");
const usualStatus = status.textContent;

let picture = nothing;
let skewMs = 0;
let stopping = false;
let pauseMs = FIRST_PAUSE_MS;
let silence = 0;

const hubNow = () => Date.now() + skewMs;

/** How far this computer's clock is from the hub's; elapsed times must not depend on it. */
async function learnSkew() {
  const sentAt = Date.now();
  const response = await ask(page.dataset.clockUrl, { method: "HEAD", accept: "*/*" }).catch(() => null);
  const hubTime = Date.parse(response?.headers.get("Date") ?? "");
  const skew = hubTime - (sentAt + Date.now()) / 2;
  if (Math.abs(skew) > SKEW_THAT_MATTERS_MS) skewMs = skew;
}

function listen() {
  const stream = new EventSource(page.dataset.progressUrl);
  let replayed = nothing; // each connection tells the story from its beginning
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => { stream.close(); listen(); }, SILENCE_MS);
  };
  const over = () => {
    clearTimeout(silence);
    stream.close();
  };
  heard();
  stream.onopen = () => {
    heard();
    replayed = nothing;
    pauseMs = FIRST_PAUSE_MS;
    if (!stopping) status.textContent = usualStatus;
  };
  stream.onmessage = ({ data }) => {
    heard();
    replayed = after(replayed, parsed(data));
    picture = replayed;
    draw(picture, hubNow());
    const retry = picture.retries.at(-1);
    if (retry && !stopping) status.textContent = `${whyAgain(retry)} Trying again.`;
    if (picture.outcome) over();
    if (picture.outcome === "ready") arrive();
    if (picture.outcome === "failed") fail();
  };
  stream.onerror = () => {
    if (picture.outcome || stopping) return;
    status.textContent = "The connection to the hub was lost; trying again. Your start goes on meanwhile.";
    // The browser tries again by itself, except when the hub (or the proxy in front of it) answers with an error.
    if (stream.readyState === EventSource.CLOSED) {
      over();
      setTimeout(comeBack, pauseMs);
    }
  };
}

/**
 * Loads the page anew as soon as the hub answers: it knows where this start belongs now. A hub that was restarted has
 * forgotten a start that waited, and kept its place: starting the same again takes that up.
 */
async function comeBack() {
  try {
    const { kept, waits, options } = await (await ask(page.dataset.placeUrl)).json();
    if (kept && !waits && !stopping) await ask(page.dataset.stopUrl, { method: "POST", xsrf: page.dataset.xsrf, body: { user_options: options } });
    location.reload();
  } catch {
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    setTimeout(comeBack, pauseMs);
  }
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null; // a broken event tells nothing
  }
}

function arrive() {
  if (stopping) return;
  status.textContent = "Opening it…";
  stopButton.disabled = true;
  location.reload(); // the hub redirects to the running server
}

function fail() {
  if (stopping) return;
  const box = document.getElementById("js2-failure");
  document.getElementById("js2-sentence").textContent = picture.sentence;
  document.getElementById("js2-control").hidden = true;
  box.hidden = false;
  box.focus();
}

/** Gives the start up, or the place in the line, and goes on to `next`. */
async function stop(next) {
  const waiting = picture.place !== null;
  const word = stopButton.textContent;
  stopping = true;
  stopButton.disabled = true;
  stopButton.textContent = waiting ? "Leaving…" : "Stopping…";
  status.textContent = waiting ? "Leaving the line." : "Stopping this server; its instance is given back to the cloud.";
  try {
    await ask(page.dataset.stopUrl, { method: "DELETE", xsrf: page.dataset.xsrf });
    status.textContent = waiting ? "You left the line." : "Stopped. Going to your home page…";
    location.assign(next);
  } catch (problem) {
    stopping = false;
    stopButton.disabled = false;
    stopButton.textContent = word;
    status.textContent = `It could not be stopped: ${problem.message}`;
    if (picture.outcome === "failed") fail();
    if (picture.outcome === "ready") arrive();
  }
}

/** What is free right now is chosen on the form, where its price and its terms stand. */
function take({ target }) {
  const button = target.closest("button[data-flavor]");
  if (!button) return;
  const { flavor, region } = button.dataset;
  stop(`${page.dataset.chooseUrl}#${new URLSearchParams({ flavor, region })}`);
}

stopButton.addEventListener("click", () => stop(page.dataset.homeUrl));
document.getElementById("js2-instead").addEventListener("click", take);
setInterval(() => { if (!picture.outcome) tick(picture, hubNow()); }, 1000);
await learnSkew();
listen();
