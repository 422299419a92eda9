// Likert 1–7 and yes/no questions about each completion: a matrix where there is room, one below
// the other where there is not. Answers lie in state.likert[name][place] and state.checks[name][place].

const LIKERT_STEPS = [1, 2, 3, 4, 5, 6, 7];
// Columns for so many completions, where there is room: no row with one left over.
const COLUMNS = [1, 1, 2, 3, 4, 3, 3, 4, 4, 3];
const CRITERIA = new WeakMap();

const answersOf = (state, criterion) => (criterion.kind === "check" ? state.checks : state.likert);

const answerOf = (state, criterion, place) => answersOf(state, criterion)[criterion.name]?.[place] ?? null;

function setAnswer(state, criterion, place, value) {
  const answers = answersOf(state, criterion);
  const count = state.ranks_by_place.length;
  const row = Array.from({ length: count }, (_, other) => answers[criterion.name]?.[other] ?? null);
  row[place] = value;
  answers[criterion.name] = row;
}

function optionsOf(criterion, words) {
  if (criterion.kind !== "check")
    return LIKERT_STEPS.map((step) => ({ value: step, label: String(step), key: String(step) }));
  return [
    { value: true, label: say(words, "criteria.yes"), key: "y" },
    { value: false, label: say(words, "criteria.no"), key: "n" },
  ];
}

// Draw the project's criteria (`page.criteria`) into `parent`; called again, bring what is shown
// up to `state`. `changed()` is called after each answer.
function drawCriteria(parent, state, words, changed, page) {
  const drawn = CRITERIA.get(parent);
  if (drawn?.state === state && drawn.words === words) return drawn.show();
  const criteria = page?.criteria ?? [];
  parent.hidden = criteria.length === 0;
  const rows = criteria.map((criterion) => criterionRow(criterion, state, words, changed));
  const show = () => rows.forEach((row) => row.show());
  CRITERIA.set(parent, { state, words, show });
  parent.classList.add("criteria");
  parent.setAttribute("role", "group");
  parent.setAttribute("aria-label", say(words, "criteria.label"));
  parent.style.setProperty("--columns", COLUMNS[state.ranks_by_place.length]);
  parent.replaceChildren(criteriaHead(criteria, words), ...rows.map((row) => row.node));
  show();
}

function criteriaHead(criteria, words) {
  const title = [el("h3", { text: say(words, "criteria.label") })];
  const scaled = criteria.some(({ kind }) => kind !== "check");
  if (scaled) title.push(el("p", { class: "hint", text: say(words, "criteria.scale") }));
  return el("header", { class: "part-head" }, [
    el("div", { class: "part-title" }, title),
    el("p", { class: "hint keys", text: say(words, "criteria.keys") }),
  ]);
}

function criterionRow(criterion, state, words, changed) {
  const title = criterion.title || criterion.name;
  const cells = state.ranks_by_place.map((_, place) => {
    const letter = letterOf(place);
    const choice = choiceRow({
      label: say(words, "criteria.of", { criterion: title, letter }),
      options: optionsOf(criterion, words),
      chosen: (value) => {
        setAnswer(state, criterion, place, value);
        changed();
      },
    });
    const mark = el("span", { class: "cell-letter", "aria-hidden": "true", text: letter });
    return { node: el("div", { class: "cell" }, [mark, choice.row]), show: choice.show };
  });
  const show = () => cells.forEach((cell, place) => cell.show(answerOf(state, criterion, place)));
  const head = criterionHead(criterion, title, words, () => {
    answerRestNo(state, criterion);
    show();
    changed();
  });
  const kind = criterion.kind === "check" ? "check" : "likert";
  const row = el("div", { class: `criterion ${kind}` }, [
    head,
    el("div", { class: "cells" }, cells.map((cell) => cell.node)),
  ]);
  return { node: row, show };
}

function criterionHead(criterion, title, words, restNo) {
  const lines = [el("h4", { text: title, dir: "auto" })];
  if (criterion.kind === "check") {
    const button = el("button", { class: "quiet rest", type: "button", text: say(words, "criteria.rest.no") });
    button.setAttribute("aria-label", `${title}: ${button.textContent}`);
    button.addEventListener("click", restNo);
    lines.push(button);
  }
  if (criterion.question) lines.push(el("p", { class: "question", text: criterion.question, dir: "auto" }));
  return el("div", { class: "criterion-head" }, lines);
}

// "No" for every completion that has no answer yet: of eleven questions most are a no.
function answerRestNo(state, criterion) {
  state.ranks_by_place.forEach((_, place) => {
    if (answerOf(state, criterion, place) === null) setAnswer(state, criterion, place, false);
  });
}
