"use strict";
// A login that came to its end leaves neither code nor state in the address bar or the history. One
// that did not is left: its address may have to be copied into the browser that began it.
if (document.querySelector("[data-finished]")) history.replaceState(null, "", "/-/");

// The code lives 30 seconds from the click on Authorize, which we cannot see: we count from the
// moment this page is looked at again.
const clock = document.querySelector("[data-code-clock]");
if (clock) {
  const field = document.getElementById("final-url");
  const form = field.form;
  let away = false;
  let ticking = 0;
  const tell = (text) => { if (clock.textContent !== text) clock.textContent = text; };
  const count = () => {
    const end = Date.now() + 30000;
    clearInterval(ticking);
    const tick = () => {
      const left = Math.ceil((end - Date.now()) / 1000);
      if (left <= 0) {
        clearInterval(ticking);
        tell("If Authorize was clicked more than 30 seconds ago, the code has expired: start again.");
      } else {
        tell(`The code is good for about ${left} seconds more: paste the address now.`);
      }
    };
    tick();
    ticking = setInterval(tick, 1000);
  };
  window.addEventListener("blur", () => { away = true; });
  window.addEventListener("focus", () => { if (away) { away = false; count(); field.focus(); } });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) away = true;
    else if (away) { away = false; count(); }
  });
  field.addEventListener("paste", () => setTimeout(() => {
    if (/[?&](code|error)=/.test(field.value)) form.requestSubmit();
  }));
}
