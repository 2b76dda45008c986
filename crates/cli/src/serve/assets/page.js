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

  // Brings what is inside one element to what is inside another. Elements that are in both stay what they are, so that the focus and
  // open details stay: those with an id are known by it, others by their place.
  const becomeInside = (old, fresh) => {
    const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      let same = next.id ? known.get(next.id) : at;
      if (same && !next.id && (same.id || same.nodeName !== next.nodeName)) same = undefined;
      if (!same) {
        old.insertBefore(next, at);
        continue;
      }
      // What stands before it is gone, or comes later and is made anew.
      while (at !== same) {
        const gone = at;
        at = at.nextSibling;
        if (gone.id) known.delete(gone.id);
        gone.remove();
      }
      at = same.nextSibling;
      if (same.nodeType === Node.ELEMENT_NODE) become(same, next);
      else if (same.nodeValue !== next.nodeValue) same.nodeValue = next.nodeValue;
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };
  const become = (old, fresh) => {
    // Whether details are open is the person's matter.
    const isKept = (name) => name === "open" || fresh.hasAttribute(name);
    for (const { name } of [...old.attributes]) if (!isKept(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    becomeInside(old, fresh);
  };

  const live = document.querySelector("[data-live]");
  if (!live) return;
  const events = new EventSource(live.dataset.live);
  for (const part of ["whole", "boxes", "needs", "stands"]) {
    // Made by the same templates as the page, where everything that a server says is escaped.
    events.addEventListener(part, (event) => {
      const fresh = document.createElement("template");
      fresh.innerHTML = event.data;
      becomeInside(byId(part), fresh.content);
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
