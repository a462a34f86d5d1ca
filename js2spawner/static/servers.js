// The list of servers: its figures follow the hub; what has become another row is shown by loading the page anew.

import { ask } from "./hub.js";

const LOOK_EVERY_MS = 20_000;
const LOOK_WHILE_MOVING_MS = 4_000;
const FIGURES = ["age", "su_so_far", "su_per_hour_now", "ends"];

const page = document.getElementById("js2-list");
const rows = new Map([...page.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, row]));

setTimeout(look, pause());
for (const form of page.querySelectorAll(".js2-row-form")) {
  // Once sent it is not sent again. Disabling before the browser has gathered the form would drop the button's own word.
  form.addEventListener("submit", () => setTimeout(() => form.querySelectorAll("button").forEach((each) => { each.disabled = true; })));
}

function pause() {
  return page.dataset.moving ? LOOK_WHILE_MOVING_MS : LOOK_EVERY_MS;
}

async function look() {
  if (!document.hidden) {
    try {
      show(await (await ask(location.href)).json());
    } catch {
      // A hub that is away for a moment: what is shown stays, and is asked for again.
    }
  }
  setTimeout(look, pause());
}

function show(told) {
  const same = told.servers.length === rows.size && told.servers.every((server) => rows.get(keyOf(server))?.dataset.state === server.state);
  if (!same) {
    changed();
    return;
  }
  for (const server of told.servers) figures(rows.get(keyOf(server)), server);
  figures(page.querySelector(".js2-sum"), told);
}

function keyOf({ user, server, attempt }) {
  return `${user}/${server}/${attempt ?? ""}`;
}

function figures(element, told) {
  for (const name of FIGURES) {
    const cell = element.querySelector(`[data-cell="${name}"]`);
    if (!cell || told[name] === undefined) continue;
    const said = told[name] === null || told[name] === "" ? "–" : String(told[name]);
    if (cell.textContent !== said) cell.textContent = said;
  }
}

/** Nobody's half-made decision is thrown away: while a question is open or something is typed, only a note is shown. */
function changed() {
  const busy = page.querySelector("details[open]") || document.activeElement?.id === "js2-q" || page.contains(document.activeElement);
  if (!busy) location.reload();
  document.getElementById("js2-changed").hidden = false;
}
