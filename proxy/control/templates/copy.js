"use strict";
// Buttons that copy, on every page that has something to copy.
document.documentElement.classList.add("js");

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // No clipboard on a plain-http address: copy out of a field.
    const field = document.createElement("textarea");
    field.value = button.dataset.copy;
    button.after(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = "Copied";
  const announce = document.getElementById("announce");
  if (announce) announce.textContent = button.getAttribute("aria-label").replace("Copy", "Copied");
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
});

document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-select]")) event.target.select();
});
