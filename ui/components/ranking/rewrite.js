// A window to rewrite a completion as a demonstration, with its changes shown while one writes.
// What is written stays in state.rewrites[place] while the window is closed.

// As long as a demonstration may be (labeling/judging/demonstrations.py).
const LONGEST_REWRITE = 120000;
const DIFFERENCE_PATIENCE_MS = 120;

// `completion` is {place, text}; `send(text)` is called when the annotator saves a demonstration.
// `state` keeps the text and `changed()` is called as it changes.
function openRewrite(dialogHost, completion, words, send, state, changed = () => {}) {
  const original = completion.text;
  const parts = rewriteParts(completion, words);
  const { dialog, area } = parts;
  area.value = state?.rewrites?.[completion.place] ?? original;
  let waiting = null;
  const repaint = () => paintRewrite(parts, original, words);
  area.addEventListener("input", () => {
    keepRewrite(state, completion, area.value);
    changed();
    clearTimeout(waiting);
    waiting = setTimeout(repaint, DIFFERENCE_PATIENCE_MS);
  });
  parts.restore.addEventListener("click", () => {
    area.value = original;
    area.dispatchEvent(new Event("input"));
    area.focus();
  });
  parts.form.addEventListener("submit", (event) => {
    event.preventDefault();
    repaint();
    if (parts.save.disabled) return area.focus();
    dialog.close();
    send(area.value);
  });
  dialog.addEventListener("close", () => {
    clearTimeout(waiting);
    dialog.remove();
  });
  dialogHost.append(dialog);
  repaint();
  dialog.showModal();
  area.setSelectionRange(0, 0);
  area.focus();
  return dialog;
}

// A text that is the completion again is none: the draft need not carry it.
function keepRewrite(state, { place, text }, written) {
  if (!state) return;
  const { [place]: _, ...others } = state.rewrites ?? {};
  state.rewrites = written === text ? others : { ...others, [place]: written };
}

function rewriteParts({ place }, words) {
  const area = el("textarea", { class: "rewritten", id: "rewritten", dir: "auto", spellcheck: "true" });
  area.setAttribute("aria-describedby", "rewrite-count");
  const count = el("p", { id: "rewrite-count", class: "hint count" });
  const problem = el("p", { class: "problem", role: "status" });
  const changes = el("div", { class: "changes text", dir: "auto", tabindex: "0", role: "group" });
  changes.setAttribute("aria-label", say(words, "rewrite.changes"));
  const restore = el("button", { class: "quiet restore", type: "button", text: say(words, "rewrite.restore") });
  const save = el("button", { class: "primary", type: "submit", text: say(words, "rewrite.send") });
  const legend = el("span", { class: "legend" }, [
    el("del", { text: say(words, "rewrite.legend.removed") }),
    el("ins", { text: say(words, "rewrite.legend.added") }),
  ]);
  const form = el("form", { class: "rewrite-form" }, [
    el("div", { class: "pane" }, [
      el("label", { for: "rewritten", text: say(words, "rewrite.text") }),
      area,
    ]),
    el("div", { class: "pane" }, [
      el("div", { class: "pane-head" }, [el("span", { text: say(words, "rewrite.changes") }), legend]),
      changes,
    ]),
    el("div", { class: "rewrite-foot" }, [
      el("div", {}, [count, problem, el("p", { class: "hint", text: say(words, "rewrite.kept") })]),
      el("div", { class: "rewrite-deeds" }, [restore, save]),
    ]),
  ]);
  const title = say(words, "rewrite.title", { letter: letterOf(place) });
  const lead = el("p", { class: "lead", text: say(words, "rewrite.lead") });
  const dialog = dialogFrame(title, [lead, form], words);
  dialog.classList.add("wide-dialog");
  return { dialog, form, area, count, problem, changes, restore, save };
}

function paintRewrite({ area, count, problem, changes, restore, save }, original, words) {
  const written = area.value;
  const used = [...written.trim()].length;
  count.textContent = say(words, "rewrite.count", { used, limit: LONGEST_REWRITE });
  const over = used - LONGEST_REWRITE;
  const wrong = used === 0 ? say(words, "rewrite.empty") : over > 0 ? say(words, "rewrite.long", { count: over }) : "";
  problem.textContent = wrong;
  area.setAttribute("aria-invalid", String(wrong !== ""));
  const same = written.trim() === original.trim();
  restore.disabled = written === original;
  save.disabled = wrong !== "" || same;
  changes.classList.toggle("unchanged", same);
  if (same) changes.textContent = say(words, "rewrite.same");
  else changes.replaceChildren(...mergeDifferences(original, written).map(changeNode));
}

// <del> is struck through and <ins> underlined: neither leans on its colour alone.
function changeNode({ text, kind }) {
  if (kind === "same") return document.createTextNode(text);
  return el(kind === "removed" ? "del" : "ins", { text });
}
