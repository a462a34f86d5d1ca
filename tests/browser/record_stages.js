// Notes every state of every stage the progress page shows, in order. sessionStorage outlives the page's reloads.
new MutationObserver(() => {
  const seen = JSON.parse(sessionStorage.getItem("stages") ?? "[]");
  for (const stage of document.querySelectorAll(".js2-stage")) {
    const now = `${stage.querySelector(".js2-stage-title").textContent}: ${stage.dataset.state}`;
    if (stage.dataset.state && !seen.includes(now)) seen.push(now);
  }
  sessionStorage.setItem("stages", JSON.stringify(seen));
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-state"] });
