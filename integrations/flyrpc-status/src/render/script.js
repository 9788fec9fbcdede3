"use strict";
// Replaces the page with a new one every 2 s, unless it is hidden or the viewer is selecting text.
const live = document.getElementById("live");
const body = () => document.getElementById("page");
async function refresh() {
  try {
    const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(9000) });
    const text = await response.text();
    const next = new DOMParser().parseFromString(text, "text/html");
    const page = next.getElementById("page");
    if (!response.ok || !page) throw new Error(response.ok ? "not a status page" : text.slice(0, 200));
    const scrolled = [...document.querySelectorAll(".scroll")].map(it => it.scrollLeft);
    const focused = document.activeElement?.getAttribute("href");
    body().replaceWith(page);
    document.querySelectorAll(".scroll").forEach((it, at) => { it.scrollLeft = scrolled[at] ?? 0; });
    if (focused) page.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    document.title = next.title;
    live.textContent = "";
  } catch (error) {
    live.textContent = `This page is out of date. ${error.message}`;
  }
}
async function loop() {
  const selection = getSelection();
  if (!document.hidden && (!selection || selection.isCollapsed)) await refresh();
  setTimeout(loop, 2000);
}
setTimeout(loop, 2000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
