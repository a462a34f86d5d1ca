// What the progress page knows, as values: each event makes the next picture. No page, no clock.
//
// The hub replays the whole story on every (re)connection, so `nothing` is where each connection begins, and an event
// that says again what is already known changes nothing. Everything in an event may come from a hostile instance: texts are
// bounded here and only ever shown as text.

const LONGEST_TEXT = 300;
const MOST_STAGES = 20;
const MOST_RETRIES = 20;
const MOST_INSTEAD = 6;

export const nothing = Object.freeze({
  attempt: 0,
  image: "",
  flavor: "",
  startedAt: null,
  attemptStartedAt: null,
  stages: [],
  retries: [],
  place: null,
  note: "",
  outcome: "",
  sentence: "",
});

/** The picture after one event of JupyterHub's progress stream. */
export function after(picture, event) {
  if (!event || typeof event !== "object") return picture;
  if (event.ready) return { ...picture, outcome: "ready" };
  if (event.failed) return { ...picture, outcome: "failed", sentence: sentence(event.message) };
  if (event.js2 && typeof event.js2 === "object") return afterOurs(picture, event.js2);
  return event.message ? { ...picture, note: text(event.message) } : picture;
}

/** The stage that is under way, else the first that has not begun. */
export function current(picture) {
  return picture.stages.find((stage) => stage.state === "begun") ?? picture.stages.find((stage) => stage.state === "waiting");
}

function afterOurs(picture, ours) {
  switch (ours.kind) {
    case "plan":
      return planned(picture, ours);
    case "stage":
      return { ...picture, stages: picture.stages.map((stage) => (stage.name === ours.stage ? moved(stage, ours) : stage)) };
    case "retry":
      return retried(picture, ours);
    case "place":
      return { ...picture, place: placed(ours) ?? picture.place };
    case "note":
      return { ...picture, note: text(ours.text) };
    default:
      return picture;
  }
}

function planned(picture, { attempt, image, flavor, started_at: startedAt, stages }) {
  const number = Number.isInteger(attempt) ? attempt : picture.attempt + 1;
  const known = number === picture.attempt ? picture.stages : [];
  const begun = instant(startedAt);
  return {
    ...picture,
    attempt: number,
    image: text(image),
    flavor: text(flavor),
    startedAt: picture.startedAt ?? begun,
    attemptStartedAt: begun,
    // Whose instance is being made waits no longer; one that got no room after all is told so by its next place.
    place: null,
    note: number === picture.attempt ? picture.note : "",
    stages: list(stages).slice(0, MOST_STAGES).map((stage) => fresh(stage, known)),
  };
}

function fresh({ name, title, typical }, known) {
  const before = known.find((stage) => stage.name === name);
  const blank = { name: text(name), state: "waiting", begunAt: null, endedAt: null, detail: "" };
  return { ...(before ?? blank), title: text(title), typical: times(typical) };
}

function moved(stage, { state, at, detail }) {
  const when = instant(at);
  const said = text(detail) || stage.detail;
  if (state === "begun") {
    // A later word about a stage that is already over (a replay out of order) does not open it again.
    return stage.endedAt === null ? { ...stage, state, begunAt: stage.begunAt ?? when, detail: said } : stage;
  }
  if (state === "done" || state === "failed") {
    return { ...stage, state, begunAt: stage.begunAt ?? when, endedAt: stage.endedAt ?? when, detail: said };
  }
  return stage;
}

function retried(picture, { attempt, why, at }) {
  if (!Number.isInteger(attempt) || picture.retries.some((retry) => retry.attempt === attempt)) return picture;
  const retry = { attempt, why: text(why), at: instant(at) };
  return { ...picture, retries: [...picture.retries, retry].slice(-MOST_RETRIES) };
}

function placed({ position, of, waits_for: waitsFor, since, typical_s: typical, instead }) {
  if (!Number.isInteger(position) || !Number.isInteger(of) || position < 1 || of < position) return null;
  return {
    position,
    of,
    waitsFor: text(waitsFor),
    since: instant(since),
    typicalS: Number.isFinite(typical) && typical > 0 ? typical : null,
    instead: list(instead).slice(0, MOST_INSTEAD).map((each) => ({ flavor: text(each.flavor), region: text(each.region), title: text(each.title) })),
  };
}

function sentence(message) {
  const said = text(message).replace(/^Spawn failed:?\s*/, "");
  if (said === "Spawn cancelled") return "The start was stopped.";
  return said || "The hub could not start your server.";
}

function times(typical) {
  const { p50_s: half, p90_s: most } = typical ?? {};
  return Number.isFinite(half) && Number.isFinite(most) && most > 0 ? { p50_s: half, p90_s: most } : null;
}

function instant(value) {
  const at = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? null : at;
}

function text(value) {
  return typeof value === "string" ? value.slice(0, LONGEST_TEXT) : "";
}

function list(value) {
  return Array.isArray(value) ? value.filter((entry) => entry && typeof entry === "object") : [];
}
