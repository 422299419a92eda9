// Of two completions: how much better the better one is. state.strength is 1 (negligibly better)
// … 4 (significantly better), or null.

const STRENGTHS = [4, 3, 2, 1];
const STRENGTH = new WeakMap();

const canHaveStrength = ({ ranks_by_place: ranks }) => ranks.length === 2 && isComplete(ranks) && ranks[0] !== ranks[1];

// Draw the question into `parent`, or bring it up to `state`; call it after each change of the
// ranks. A tie has no strength: it is taken away then.
function drawStrength(parent, state, words, changed) {
  parent.hidden = state.ranks_by_place.length !== 2;
  if (parent.hidden) return;
  const drawn = STRENGTH.get(parent);
  if (drawn?.state === state && drawn.words === words) return drawn.show();
  const question = el("h3", {});
  const choice = choiceRow({
    label: say(words, "strength.label"),
    options: STRENGTHS.map((value) => ({
      value,
      label: say(words, `strength.${value}`),
      key: String(value),
    })),
    chosen: (value) => {
      state.strength = value;
      changed();
    },
  });
  const hint = el("p", { class: "hint keys", text: say(words, "strength.keys") });
  const show = () => showStrength(state, words, question, choice);
  STRENGTH.set(parent, { state, words, show });
  parent.classList.add("strength");
  parent.replaceChildren(el("header", { class: "part-head" }, [question, hint]), choice.row);
  show();
}

function showStrength(state, words, question, choice) {
  const ranks = state.ranks_by_place;
  const ready = canHaveStrength(state);
  if (isComplete(ranks) && !ready) state.strength = null;
  const better = ranks[0] < ranks[1] ? 0 : 1;
  const names = { better: letterOf(better), worse: letterOf(1 - better) };
  if (ready) question.textContent = say(words, "strength.question", names);
  else question.textContent = say(words, isComplete(ranks) ? "strength.tie" : "strength.first");
  choice.row.classList.toggle("off", !ready);
  choice.row.querySelectorAll("input").forEach((input) => (input.disabled = !ready));
  choice.show(state.strength);
}
