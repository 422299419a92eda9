// Differences between two completions: which two, and their marks on the cards.

class Comparing {
  constructor({ texts, bodies, bar, words, changed }) {
    Object.assign(this, { texts, bodies, bar, words, changed });
    this.on = false;
    this.pair = [0, 1];
    this.drawn = [];
    this.picks = ["left", "right"].map((name) => bar.querySelector(`.${name}`));
    this.picks.forEach((pick, side) => {
      pick.disabled = texts.length === 2;
      pick.addEventListener("change", () => this.choose(side, Number(pick.value)));
    });
  }

  // Switched on, it compares the marked completion with the one that was marked before it.
  toggle(active, before) {
    this.on = !this.on;
    const other = before !== active && before >= 0 ? before : (active + 1) % this.texts.length;
    if (this.on) this.pair = [active, other].sort((a, b) => a - b);
    this.draw();
  }

  // Both sides the same would show nothing: the other side takes what this one had.
  choose(side, place) {
    if (this.pair[1 - side] === place) this.pair[1 - side] = this.pair[side];
    this.pair[side] = place;
    this.draw();
  }

  shows(place) {
    return this.on && this.pair.includes(place);
  }

  draw() {
    this.drawn.forEach((place) => this.fill(place));
    this.drawn = this.on ? [...this.pair] : [];
    this.bar.hidden = !this.on;
    if (this.on) this.mark();
    this.changed();
  }

  // What is empty says so, compared or not.
  fill(place, pieces = []) {
    if (this.texts[place].trim() === "") return;
    fillText(this.bodies[place], this.texts[place], changedRanges(pieces), "differs");
  }

  mark() {
    const [left, right] = this.pair;
    const found = markDifferences(this.texts[left], this.texts[right]);
    this.fill(left, found.left);
    this.fill(right, found.right);
    this.picks.forEach((pick, side) => (pick.value = String(this.pair[side])));
    // A word in a long text is not nothing.
    const nearly = found.alike < 1 ? 99 : 100;
    const percent = Math.min(nearly, Math.round(100 * found.alike));
    this.bar.querySelector(".alike").textContent = say(this.words, "differences.alike", { percent });
  }
}

// Pieces {text, changed} as the ranges of characters that are changed.
function changedRanges(pieces) {
  const ranges = [];
  let at = 0;
  for (const { text, changed } of pieces) {
    if (changed) ranges.push({ start: at, end: at + text.length });
    at += text.length;
  }
  return ranges;
}
