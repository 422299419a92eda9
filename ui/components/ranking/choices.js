// A row of answers of which one holds: radio buttons that look like segments. The browser brings
// the arrow keys and what a screen reader says; digits and letters answer at once, 0 clears.

let choiceGroups = 0;

// `options`: [{value, label, key, title}]; `chosen(value)` gets null where the answer is taken back.
function choiceRow({ label, options, chosen }) {
  const name = `choice-${(choiceGroups += 1)}`;
  const inputs = options.map(({ value, key, title }) =>
    el("input", { type: "radio", name, value: String(value), title, "aria-keyshortcuts": key }),
  );
  const segments = options.map((option, index) =>
    el("label", { class: "segment" }, [inputs[index], el("span", { text: option.label })]),
  );
  const row = el("div", { class: "choices", role: "radiogroup", "aria-label": label }, segments);
  const choose = (index, focus) => {
    inputs.forEach((input, other) => (input.checked = other === index));
    if (focus) inputs[Math.max(0, index)].focus();
    chosen(index < 0 ? null : options[index].value);
  };
  inputs.forEach((input, index) => {
    input.addEventListener("change", () => choose(index, false));
    clearAgain(input, () => choose(-1, false));
  });
  row.addEventListener("keydown", (event) => {
    const index = keyedOption(event, options);
    if (index === null) return;
    event.preventDefault();
    event.stopPropagation();
    choose(index, true);
  });
  return { row, show: (value) => showChoice(inputs, options, value) };
}

// A click on the answer that holds takes it back; the radio button itself cannot do that.
function clearAgain(input, clear) {
  let held = false;
  const forget = () => (held = false);
  input.parentElement.addEventListener("pointerdown", () => (held = input.checked));
  input.parentElement.addEventListener("pointercancel", forget);
  input.addEventListener("change", forget);
  input.addEventListener("click", () => {
    if (held) clear();
    forget();
  });
}

// The place of the option that a key means, -1 for "none", null where the key is not ours.
function keyedOption(event, options) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (["0", "Backspace", "Delete"].includes(event.key)) return -1;
  const index = options.findIndex(({ key }) => key.toLowerCase() === event.key.toLowerCase());
  return index < 0 ? null : index;
}

function showChoice(inputs, options, value) {
  inputs.forEach((input, index) => {
    const checked = options[index].value === value;
    if (input.checked !== checked) input.checked = checked;
  });
}
