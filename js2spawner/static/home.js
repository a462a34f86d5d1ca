// The home page: stop, delete and add servers; say when one is about to end and keep it if asked.

import { ask } from "./hub.js";
import { span } from "./durations.js";
import "./times.js";

const LOOK_EVERY_MS = 60_000;
const LOOK_WHILE_MOVING_MS = 4_000;

const home = document.getElementById("js2-home");
const problemBox = document.getElementById("js2-problem");
const rows = [...home.querySelectorAll(".home-server-row")];
const xsrf = home.dataset.xsrf;

home.addEventListener("click", ({ target }) => {
  const button = target.closest("button[data-do]");
  if (button) act(button);
});
document.getElementById("js2-new")?.addEventListener("submit", add);
document.getElementById("js2-keep").addEventListener("click", keep);
lookAtLeases();
if (rows.some(({ dataset }) => dataset.state === "stopping")) setTimeout(() => location.reload(), LOOK_WHILE_MOVING_MS);

async function act(button) {
  const row = button.closest("tr");
  const deleting = button.dataset.do === "delete";
  if (deleting && !window.confirm(`Delete the server “${row.dataset.title}”? Its name and its choices are forgotten.`)) return;
  if ("saving" in row.dataset && !window.confirm(`“${row.dataset.title}” is being saved. Stop it now, and throw the copy away?`)) return;
  if ("loses" in row.dataset && !window.confirm(`“${row.dataset.title}” has no home that stays. Stop it now, and delete all files on it?`)) return;
  row.querySelectorAll("button").forEach((each) => { each.disabled = true; });
  row.querySelector(".js2-state").textContent = deleting ? "deleting…" : "stopping…";
  await attempt(`“${row.dataset.title}” could not be ${deleting ? "deleted" : "stopped"}`, row, async () => {
    await ask(row.dataset.api, { method: "DELETE", xsrf, body: deleting ? { remove: true } : null });
    location.reload();
  });
}

async function add(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const typed = form.querySelector("input").value;
  const utils = await new Promise((resolve) => window.require(["utils"], resolve));
  await attempt("The server could not be added", null, async () => {
    const displayName = utils.sanitise_display_name(typed);
    if (!displayName) throw new Error("Give it a name of letters or digits.");
    const name = encodeURIComponent(utils.safe_slug(displayName));
    await ask(form.dataset.api + name, { method: "PUT", xsrf, body: { display_name: displayName } });
    location.assign(form.dataset.spawn + name);
  });
}

/** Carries `work` out; a failure is told at the top of the page, and the row is usable again. */
async function attempt(what, row, work) {
  problemBox.hidden = true;
  try {
    await work();
  } catch (problem) {
    problemBox.textContent = `${what}: ${problem.message}`;
    problemBox.hidden = false;
    if (!row) return;
    row.querySelectorAll("button").forEach((each) => { each.disabled = false; });
    row.querySelector(".js2-state").textContent = row.dataset.state;
  }
}

async function lookAtLeases() {
  const running = rows.filter(({ dataset }) => dataset.state === "running");
  const leases = await Promise.all(running.map(leaseOf));
  running.forEach((row, index) => tellEnd(row, leases[index]));
  const soonest = running
    .map((row, index) => ({ row, lease: leases[index] }))
    .filter(({ lease }) => lease?.warn)
    .sort((one, other) => one.lease.seconds_left - other.lease.seconds_left)[0];
  if (soonest) warn(soonest.row, soonest.lease);
  if (running.length > 0) setTimeout(lookAtLeases, LOOK_EVERY_MS);
}

/** The lease of a row's server, or null when the hub knows of none. */
async function leaseOf(row, options = {}) {
  try {
    return await (await ask(row.dataset.lease, options)).json();
  } catch {
    return null;
  }
}

function tellEnd(row, lease) {
  const left = lease?.seconds_left;
  row.querySelector(".js2-ends").textContent = Number.isFinite(left) ? `in ${span(left >= 120 ? 60 * Math.round(left / 60) : left)}` : "–";
}

function warn(row, lease) {
  const banner = document.getElementById("js2-lease");
  const told = [lease.sentence, lease.then?.then_sentence].filter(Boolean).join(" ");
  document.getElementById("js2-lease-text").textContent = rows.length > 1 ? `${row.dataset.title}: ${told}` : told;
  const button = document.getElementById("js2-keep");
  button.hidden = !lease.can_extend;
  button.dataset.row = rows.indexOf(row);
  banner.hidden = false;
}

async function keep({ currentTarget: button }) {
  const row = rows[Number(button.dataset.row)];
  button.disabled = true;
  await attempt(`“${row.dataset.title}” could not be kept running`, null, async () => {
    const lease = await (await ask(row.dataset.lease, { method: "POST", xsrf })).json();
    tellEnd(row, lease);
    document.getElementById("js2-lease-text").textContent = `Kept running. ${lease.sentence}`;
    button.hidden = !(lease.warn && lease.can_extend);
  });
  button.disabled = false;
}
