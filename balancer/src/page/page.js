"use strict";
// Keeps the page fresh: fetches it again, and changes only what differs, so that the focus, the
// place and a selection stay. The page works without this script.

const PERIOD = 5000;
const DEADLINE = 10000;

const fresh = document.getElementById("fresh");
const served = fresh.textContent;
const filter = document.getElementById("filter");
const wanted = filter.querySelector("input");
let last = new Date();

function tell(problem) {
  const time = last.toLocaleTimeString();
  fresh.textContent = problem
    ? `The page is as it was at ${time}: ${problem}`
    : `${served}, fresh at ${time}`;
  fresh.classList.toggle("old", Boolean(problem));
}

function change(old, next) {
  if (old.isEqualNode(next)) return;
  if (old.nodeName !== next.nodeName) {
    old.replaceWith(next);
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = next.nodeValue;
  } else {
    for (const { name } of [...old.attributes]) {
      if (!next.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) old.setAttribute(name, value);
    const olds = [...old.childNodes];
    const nexts = [...next.childNodes];
    nexts.forEach((child, at) => (olds[at] ? change(olds[at], child) : old.append(child)));
    olds.slice(nexts.length).forEach((child) => child.remove());
  }
}

function select() {
  const words = wanted.value.trim().toLowerCase();
  for (const row of document.querySelectorAll("#apps tbody tr")) {
    row.hidden = !row.textContent.toLowerCase().includes(words);
  }
}

async function fetched() {
  // The origin has no user and no password in it; the browser knows the login.
  const answer = await fetch(`${location.origin}/`, {
    cache: "no-store",
    signal: AbortSignal.timeout(DEADLINE),
  });
  if (answer.status === 401) throw new Error("the password is asked for again; load the page anew");
  if (!answer.ok) throw new Error(`the edge answers ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

async function refresh() {
  try {
    const next = await fetched();
    for (const part of document.querySelectorAll("[data-live]")) {
      change(part, next.getElementById(part.id));
    }
    last = new Date();
    tell();
    select();
  } catch (error) {
    tell(error.name === "TimeoutError" ? "the edge does not answer" : error.message);
  }
  setTimeout(refresh, PERIOD);
}

filter.hidden = false;
wanted.addEventListener("input", select);
tell();
setTimeout(refresh, PERIOD);
