// All pages work without this. It adds a running clock, the reader's own time zone, copying, and news without reloading.
"use strict";
const live = document.getElementById("live");
const all = (selector) => document.querySelectorAll(selector);

// Counted from the server's clock: phones are often minutes off.
const dated = document.querySelector("[data-now]");
const ahead = dated ? Date.parse(dated.dataset.now) - Date.now() : 0;

function localTimes() {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, {
    day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });
  for (const time of all("time")) {
    time.title ||= time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
  }
}

function tick() {
  for (const place of all("[data-until]")) {
    const seconds = Math.floor((Date.parse(place.dataset.until) - Date.now() - ahead) / 1000);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    place.textContent = seconds > 0 ? place.dataset.left.replace("#", clock) : place.dataset.none;
    all("[data-over]").forEach((part) => { part.hidden = seconds > 0; });
    all("[data-while]").forEach((part) => { part.hidden = seconds <= 0; });
  }
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.value || source.textContent);
    button.classList.add("copied");
  } catch {
    getSelection().selectAllChildren(source);
  }
}

function dress() {
  localTimes();
  tick();
  for (const button of all("[data-copy]")) {
    button.hidden = false;
    button.onclick = () => copy(button);
  }
}

function show(html) {
  const held = live.contains(document.activeElement);
  live.innerHTML = html;
  dress();
  const heading = live.querySelector("h1");
  document.title = `${heading.textContent} – Lastmile`;
  document.getElementById("news").textContent = `${heading.textContent}. ${document.getElementById("sentence").textContent}`;
  if (held) heading.focus();
}

async function look() {
  let lost = false;
  if (!document.hidden) {
    try {
      const answer = await fetch(live.dataset.from, { headers: { "If-None-Match": live.dataset.tag } });
      if (answer.status === 200) {
        live.dataset.tag = answer.headers.get("ETag");
        show(await answer.text());
      }
      lost = answer.status >= 500;
    } catch {
      lost = true;
    }
    document.getElementById("offline").hidden = !lost;
  }
  wait();
}

function wait() {
  const seconds = Number(live.querySelector("[data-look]").dataset.look);
  if (seconds) setTimeout(look, seconds * 1000);
}

dress();
setInterval(tick, 1000);
if (live) wait();
