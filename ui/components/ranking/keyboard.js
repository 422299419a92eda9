// Key presses of the whole page, as deeds of the ranking; the table of keys is in keys.js.

const FIELDS = "input, textarea, select, [contenteditable=true]";
const OWN_KEYS = "[role=dialog], [role=radiogroup], [role=slider]";
const PRESSED_BY_ENTER = "button, a, [role=button], [role=menuitem]";

class Keyboard {
  constructor(ranking) {
    this.ranking = ranking;
    this.onKey = (event) => this.key(event);
  }

  listen() {
    window.addEventListener("keydown", this.onKey, true);
  }

  unlisten() {
    window.removeEventListener("keydown", this.onKey, true);
  }

  key(event) {
    const { root, shadow, board } = this.ranking;
    if (event.defaultPrevented || event.altKey || event.isComposing) return;
    if (!root.isConnected || shadow.querySelector("dialog[open]") || awayWindow()) return;
    const target = event.composedPath()[0];
    const ours = target instanceof Node && root.contains(target);
    const command = this.commandFor(event, target, ours);
    if (!command || !board.offers(command.name)) return;
    // Streamlit has keys of its own (R, C): what we used must not reach it.
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat && !/^(previous|next)$/.test(command.name)) return;
    this.carryOut(command, target);
  }

  commandFor(event, target, ours) {
    if (event.ctrlKey || event.metaKey)
      return ours && event.key === "Enter" ? { name: "submit" } : null;
    // A window that was just closed keeps the focus until the page is drawn again.
    const closed = target.closest?.("dialog:not([open])");
    const inField = Boolean(target.closest?.(FIELDS)) && !closed;
    if (event.key === "Escape") return ours && inField ? { name: "leave" } : null;
    if (inField || target.closest?.(OWN_KEYS)) return null;
    const presses = event.key === "Enter" && target.closest?.(PRESSED_BY_ENTER);
    if (presses && !(ours && presses.matches('.rank[aria-pressed="true"]'))) return null;
    // A text that scrolls inside its card takes the arrows for itself.
    const scrolls = target.matches?.("[tabindex]:is(.text, .prompt)");
    if (scrolls && /^Arrow(Up|Down)$/.test(event.key)) return null;
    return commandOf(event, this.ranking.board.count);
  }

  carryOut({ name, value }, target) {
    const { ranking } = this;
    const { board, active } = ranking;
    const ways = {
      rank: () => ranking.rankActive(value),
      unrank: () => ranking.setRank(active, 0),
      better: () => ranking.move(active, "better"),
      worse: () => ranking.move(active, "worse"),
      tie: () => ranking.move(active, "tie"),
      previous: () => this.step(-1, target),
      next: () => this.step(1, target),
      mark: () => ranking.activate(value),
      submit: () => ranking.submit(),
      layout: () => ranking.nextLayout(),
      differences: () => ranking.differences(),
      open: () => board.toggleTexts(),
      rewrite: () => ranking.rewrite(active),
      notes: () => focusNotes(board.notes),
      strength: () => ranking.setStrength(value),
      skip: () => board.skip.showModal(),
      flag: () => board.flag.showModal(),
      undo: () => ranking.undo(),
      leave: () => ranking.activate(active),
      help: () => board.help.showModal(),
    };
    ways[name]();
  }

  // Among a card's numbers the arrows go from number to number, elsewhere from card to card.
  step(by, target) {
    const { ranking } = this;
    const number = target.closest?.(".rank");
    const next = by > 0 ? number?.nextElementSibling : number?.previousElementSibling;
    if (number) return next?.focus();
    const { count } = ranking.board;
    ranking.activate((ranking.active + by + count) % count);
  }
}
