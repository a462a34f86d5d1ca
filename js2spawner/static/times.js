// Shows every <time> of the page in the reader's own time zone and language; without scripts it stays in UTC.

for (const element of document.querySelectorAll("time[datetime]")) {
  const instant = new Date(element.dateTime);
  if (Number.isNaN(instant.getTime())) continue;
  const sameDay = instant.toDateString() === new Date().toDateString();
  element.title = instant.toLocaleString();
  element.textContent = instant.toLocaleString([], sameDay ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}
