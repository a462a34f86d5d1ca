// The list of saved images: share, freeze, thaw, delete.

import { ask } from "./hub.js";
import "./times.js";

const page = document.getElementById("js2-saved");
const problemBox = document.getElementById("js2-problem");

page.addEventListener("click", ({ target }) => {
  const button = target.closest("button[data-do]");
  if (button) press(button);
});
page.addEventListener("change", ({ target }) => {
  if (target.dataset.do === "share") share(target);
});

function press(button) {
  const { image, title } = button.closest("[data-image]").dataset;
  const group = button.dataset.group;
  switch (button.dataset.do) {
    case "delete":
      if (!window.confirm(`Delete “${title}” for good? Servers that run on it go on; it cannot be started again.`)) return;
      return change(button, image, { method: "DELETE" });
    case "freeze":
      if (!window.confirm(`Freeze “${title}” for ${group}? Its members start it as it is, and it cannot be deleted until you thaw it.`)) return;
      return change(button, image, { method: "PATCH", body: { frozen: true } });
    case "thaw":
      return change(button, image, { method: "PATCH", body: { frozen: false } });
  }
}

function share(select) {
  const { image, title } = select.closest("[data-image]").dataset;
  const before = [...select.options].findIndex((option) => option.defaultSelected);
  const warning = `Share “${title}” with ${select.value}? Its members can read all that is in it: your home as it was, the history of your shell, keys and passwords that you stored.`;
  if (select.value && !window.confirm(warning)) {
    select.selectedIndex = Math.max(0, before);
    return;
  }
  change(select, image, { method: "PATCH", body: { group: select.value } });
}

async function change(control, image, request) {
  control.disabled = true;
  problemBox.hidden = true;
  try {
    await ask(`${page.dataset.api}/${image}`, { ...request, xsrf: page.dataset.xsrf });
    location.reload();
  } catch (problem) {
    problemBox.textContent = problem.message;
    problemBox.hidden = false;
    control.disabled = false;
  }
}
