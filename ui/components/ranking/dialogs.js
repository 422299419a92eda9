// The two small windows over the page: why a task is skipped, and the keys.

const SKIP_REASONS = ["Cannot judge", "Offensive", "Broken or empty"];

const KEYS = [
  ["1 … K", "give the marked completion this rank (1 is best) and go on to the next"],
  ["A B C …", "mark a completion"],
  ["← →", "mark the one before or after"],
  ["0 or Backspace", "take its rank away"],
  ["Enter", "submit, when all are ranked"],
  ["X", "show long completions whole, or short again"],
  ["S", "skip this task, with a reason"],
  ["U", "open your last judgment again"],
  ["?", "this help"],
];

function dialogFrame(title, content) {
  const heading = el("h2", { text: title });
  const close = el("button", { class: "quiet close", text: "Close", type: "button" });
  const dialog = el("dialog", { "aria-label": title }, [
    el("header", {}, [heading, close]),
    ...content,
  ]);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}

function helpDialog() {
  const rows = KEYS.map(([keys, does]) =>
    el("tr", {}, [el("th", { text: keys, scope: "row" }), el("td", { text: does })]),
  );
  const lead =
    "Click a number on a card, drag the card's head onto a rank, or use the keyboard. " +
    "Equal ranks are a tie.";
  return dialogFrame("How to rank", [el("p", { text: lead }), el("table", {}, rows)]);
}

function skipDialog(onSkip) {
  const other = el("input", {
    type: "text",
    maxlength: "200",
    placeholder: "Another reason",
    "aria-label": "Another reason",
  });
  const send = el("button", { class: "primary", text: "Skip", type: "submit" });
  const form = el("form", { class: "other" }, [other, send]);
  const reasons = SKIP_REASONS.map((reason) =>
    el("button", { class: "reason", text: reason, type: "button" }),
  );
  reasons[0].autofocus = true;
  const dialog = dialogFrame("Why skip this task?", [el("div", { class: "reasons" }, reasons), form]);
  const finish = (reason) => {
    dialog.close();
    other.value = "";
    onSkip(reason);
  };
  reasons.forEach((button) => button.addEventListener("click", () => finish(button.textContent)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (other.value.trim()) finish(other.value.trim());
    else other.focus();
  });
  return dialog;
}
