// Flags and the rationale. What is typed goes into state.rationale at every key press, so that no
// repaint, reload or refusal can cost a word of it.

const NOTES = new WeakMap();

// Draw both into `parent`, or bring what is shown up to `state`. `page` has `flags` and `rationale`
// ("off" | "optional" | "required").
function drawNotes(parent, state, words, changed, page) {
  const drawn = NOTES.get(parent);
  if (drawn?.state === state && drawn.words === words) return drawn.show();
  const flags = flagChips(page?.flags ?? [], state, words, changed);
  const rationale = rationaleField(page?.rationale ?? "off", state, words, changed);
  const parts = [flags, rationale].filter(Boolean);
  parent.hidden = parts.length === 0;
  parent.classList.add("notes");
  parent.replaceChildren(...parts.map((part) => part.node));
  const show = () => parts.forEach((part) => part.show());
  NOTES.set(parent, { state, words, show, rationale });
  show();
}

function flagChips(flags, state, words, changed) {
  if (!flags.length) return null;
  const boxes = flags.map((flag) => el("input", { type: "checkbox", value: flag }));
  boxes.forEach((box) =>
    box.addEventListener("change", () => {
      state.flags = boxes.filter((other) => other.checked).map((other) => other.value);
      changed();
    }),
  );
  const chips = boxes.map((box, index) =>
    el("label", { class: "flag-chip" }, [
      box,
      el("span", { text: flagName(words, flags[index]), dir: "auto" }),
    ]),
  );
  const label = say(words, "flags.label");
  const node = el("div", { class: "flags" }, [
    el("h3", { text: label }),
    el("div", { class: "flag-chips", role: "group", "aria-label": label }, chips),
  ]);
  const show = () => boxes.forEach((box) => (box.checked = state.flags.includes(box.value)));
  return { node, show };
}

function rationaleField(setting, state, words, changed) {
  if (setting === "off") return null;
  const required = setting === "required";
  const area = el("textarea", {
    id: "rationale",
    rows: "2",
    dir: "auto",
    placeholder: say(words, "rationale.hint"),
    "aria-describedby": "rationale-missing",
    "aria-required": String(required),
  });
  const problem = el("p", { id: "rationale-missing", class: "problem", role: "alert" });
  const label = el("label", { for: "rationale" }, [
    el("span", { text: say(words, "rationale.label") }),
    el("small", { text: say(words, required ? "rationale.required" : "rationale.optional") }),
  ]);
  const complain = (text) => {
    problem.textContent = text;
    area.setAttribute("aria-invalid", String(text !== ""));
  };
  area.addEventListener("input", () => {
    state.rationale = area.value;
    if (area.value.trim()) complain("");
    changed();
  });
  const show = () => {
    if (area.value !== state.rationale) area.value = state.rationale;
  };
  return { node: el("div", { class: "rationale" }, [label, area, problem]), show, area, complain };
}

// Before a submit: "" where nothing is missing; else what is, said beside the field, which gets
// the focus.
function missingNote(parent, state, words, page) {
  if (page?.rationale !== "required" || state.rationale.trim()) return "";
  const text = say(words, "rationale.missing");
  const field = NOTES.get(parent)?.rationale;
  field?.complain(text);
  field?.area.focus();
  return text;
}

// Put the cursor into the rationale; says whether there is one.
function focusNotes(parent) {
  const area = NOTES.get(parent)?.rationale?.area;
  area?.focus();
  area?.scrollIntoView({ block: "nearest" });
  return Boolean(area);
}
