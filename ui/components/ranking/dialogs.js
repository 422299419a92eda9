// The small windows over the page: the keys, why a task is skipped, what is wrong with it.

function dialogFrame(title, content, words) {
  const close = el("button", { class: "quiet close", type: "button", text: say(words, "dialog.close") });
  const dialog = el("dialog", { "aria-label": title }, [
    el("header", {}, [el("h2", { text: title }), close]),
    ...content,
  ]);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}

function helpDialog(words, usable) {
  const rows = COMMANDS.filter(({ name }) => usable(name)).map(({ name, shown }) =>
    el("tr", {}, [
      el("th", { scope: "row" }, shown.map((key) => el("kbd", { text: key }))),
      el("td", { text: say(words, `help.${name}`) }),
    ]),
  );
  const lead = el("p", { text: say(words, "help.lead") });
  const table = el("div", { class: "scroller", tabindex: "0", role: "group",
    "aria-label": say(words, "help.title") }, [el("table", {}, rows)]);
  return dialogFrame(say(words, "help.title"), [lead, table], words);
}

// Under which name each is stored, whatever the language in which it was chosen.
const SKIP_REASONS = { cannot: "Cannot judge", offensive: "Offensive", broken: "Broken or empty" };

// `typed(text)` is called at every key press, so that a reload costs no word of it.
function skipDialog(words, onSkip, typed) {
  const label = say(words, "skip.other");
  const other = el("input", { type: "text", maxlength: "200", placeholder: label, "aria-label": label });
  other.addEventListener("input", () => typed(other.value));
  const send = el("button", { class: "primary", text: say(words, "skip.send"), type: "submit" });
  const form = el("form", { class: "other" }, [other, send]);
  const reasons = Object.keys(SKIP_REASONS).map((name) => {
    const button = el("button", { class: "reason", text: say(words, `skip.reason.${name}`), type: "button" });
    button.addEventListener("click", () => finish(SKIP_REASONS[name]));
    return button;
  });
  reasons[0].autofocus = true;
  const content = [el("div", { class: "reasons" }, reasons), form];
  const dialog = dialogFrame(say(words, "skip.title"), content, words);
  const finish = (reason) => {
    dialog.close();
    onSkip(reason);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (other.value.trim()) finish(other.value.trim());
    else other.focus();
  });
  dialog.field = other;
  return dialog;
}

// A word of the project's own flags is shown as the lead wrote it where no language file has it.
const flagName = (words, flag) => {
  const said = say(words, `flag.${flag}`);
  return said === `flag.${flag}` ? flag : said;
};

function flagDialog(words, flags, onFlag, typed) {
  const boxes = flags.map((flag) => el("input", { type: "checkbox", value: flag }));
  const rows = boxes.map((box, index) =>
    el("label", { class: "choice" }, [box, el("span", { text: flagName(words, flags[index]) })]),
  );
  const label = say(words, "flag.comment");
  const comment = el("textarea", { rows: "3", maxlength: "2000", placeholder: label, "aria-label": label });
  comment.addEventListener("input", () => typed(comment.value));
  const missing = el("p", { class: "missing", role: "alert" });
  const send = el("button", { class: "primary", text: say(words, "flag.send"), type: "submit" });
  const form = el("form", { class: "flagging" }, [
    el("p", { class: "lead", text: say(words, "flag.lead") }),
    el("div", { class: "reasons", role: "group", "aria-label": say(words, "flag.title") }, rows),
    comment,
    missing,
    send,
  ]);
  const dialog = dialogFrame(say(words, "flag.title"), [form], words);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    missing.textContent = chosen.length ? "" : say(words, "flag.missing");
    if (!chosen.length) return boxes[0].focus();
    dialog.close();
    onFlag(chosen, comment.value.trim());
  });
  dialog.field = comment;
  return dialog;
}
