// While the server is away, Streamlit lays a window over the page that speaks English, to whoever
// runs the server, and holds the keys. The rail says it in the annotator's language: work goes on.

const AWAY_WINDOW = '.stDialog [role="dialog"]';
const AWAY_TITLE = "Connection error";

const awayWindow = () =>
  [...document.querySelectorAll(AWAY_WINDOW)].find(
    (dialog) => dialog.querySelector("h2")?.textContent === AWAY_TITLE,
  );

// Closes it whenever it opens; what it took the focus from has it again. Returns what ends this.
function keepAwayWindowClosed() {
  let robbed = null;
  const leaving = (event) => {
    if (event.relatedTarget?.closest?.(AWAY_WINDOW)) robbed ??= event.composedPath()[0];
  };
  const observer = new MutationObserver(() => {
    const shown = awayWindow();
    if (shown) shown.querySelector("button")?.click();
    else if (robbed) {
      const field = robbed;
      robbed = null;
      // A frame later Streamlit gives the focus back itself, to what cannot have it.
      requestAnimationFrame(() => requestAnimationFrame(() => field.focus()));
    }
  });
  observer.observe(document.body, { childList: true });
  window.addEventListener("focusout", leaving);
  return () => {
    observer.disconnect();
    window.removeEventListener("focusout", leaving);
  };
}
