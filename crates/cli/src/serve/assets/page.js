"use strict";
// Everything works without this. It puts the focus where it belongs, keeps a form from being sent twice, and shows live numbers.
(() => {
  const byId = (id) => document.getElementById(id);
  const first = document.querySelector("[data-focus]");
  if (first) first.focus();

  for (const form of document.forms) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "yes";
    });
  }
  // A page that comes back out of the browser's memory can be sent again.
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });

  const live = document.querySelector("[data-live]");
  if (!live) return;
  const events = new EventSource(live.dataset.live);
  for (const part of ["whole", "boxes", "needs", "stands"]) {
    // Made by the same templates as the page, where everything that a server says is escaped.
    events.addEventListener(part, (event) => {
      byId(part).innerHTML = event.data;
    });
  }
  events.addEventListener("said", (event) => {
    byId("said").textContent = event.data;
  });
  events.addEventListener("over", () => {
    events.close();
    if (live.dataset.then) location.assign(live.dataset.then);
    else location.reload();
  });
  events.addEventListener("open", () => {
    byId("lost").hidden = true;
  });
  events.addEventListener("error", () => {
    byId("lost").hidden = false;
  });
})();
