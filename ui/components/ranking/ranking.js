// The ranking of one task. Streamlit calls the default export at every change of `data`; what the
// annotator has done so far is kept by serial (one showing of a task), so a repaint loses nothing.

const VIEWS = new WeakMap();

class Ranking {
  constructor(shadow) {
    this.shadow = shadow;
    this.root = shadow.querySelector(".ranking");
    this.keyboard = new Keyboard(this);
    this.onVisibility = () => this.visibility();
    this.outbox = new Outbox({
      changed: () => this.data && this.paint(),
      draft: () => (this.data ? this.unkept() : null),
      lost: () => (this.keptText = null),
      beat: () => ({ assignment: this.data.assignment, at: newNonce() }),
      direct: () => this.data?.direct ?? "",
      shown: (data) => this.answered(data),
    });
  }

  listen() {
    this.keyboard.listen();
    document.addEventListener("visibilitychange", this.onVisibility);
    window.addEventListener("pagehide", this.onVisibility);
    this.outbox.listen();
    this.endAway = keepAwayWindowClosed();
  }

  unlisten() {
    this.keyboard.unlisten();
    document.removeEventListener("visibilitychange", this.onVisibility);
    window.removeEventListener("pagehide", this.onVisibility);
    this.outbox.unlisten();
    this.endAway?.();
  }

  // ---- what Python says -----------------------------------------------------------------------

  // By Streamlit, which repeats what it said last whenever it paints anew: what was answered
  // directly since then is newer, but for a refusal that was not heard yet.
  told(data) {
    const { refusal } = data;
    const unheard = refusal && refusal.id !== this.toldLast?.refusal?.id;
    const repeated = this.ahead && data.look === this.toldLast?.look;
    this.toldLast = data;
    if (!repeated) {
      this.ahead = false;
      this.show(data);
    } else if (unheard) this.show({ ...this.data, refusal });
  }

  // Directly: a task to show, or only what became of a draft, a heartbeat or a rewrite.
  answered(data) {
    if (data.serial) this.ahead = true;
    else if (data.assignment !== this.data.assignment) return;
    else if (!data.refusal && !data.done) return;
    // A draft from before the deed under way was refused: the deed's own answer is still to come.
    else if (!data.done && !["rewrite", undefined].includes(this.outbox.deed?.name)) return;
    this.show({ ...this.data, ...data });
  }

  show(data) {
    const before = this.data;
    const fresh = data.serial !== before?.serial;
    const refused = data.refusal && data.refusal.id !== before?.refusal?.id;
    const done = data.done && data.done === this.outbox.deed?.value.nonce;
    const answered = fresh || refused || done ? this.outbox.answered() : null;
    this.data = data;
    if (fresh || data.language !== before.language) this.words = wordsOf(data);
    // A lead may change what is asked meanwhile: then the page asks it, and what is answered stays.
    const asked = JSON.stringify(data.page);
    if (fresh) this.start(before, answered);
    else if (asked !== JSON.stringify(before.page)) this.build();
    if (!fresh && data.sitting !== before.sitting) this.outbox.shownAnew();
    if (fresh || refused) this.notice = refused ? data.refusal.text : "";
    this.paintCounts();
    this.paint();
  }

  start(before, answered) {
    // Opening the last judgment again must not cost the draft of the task at hand.
    if (before && ["submit", "skip", "flag"].includes(answered?.name)) forget(before.serial);
    Object.assign(this, begin(this.data));
    this.clock = new VisibleClock(this.state.milliseconds);
    this.keptText = this.unsaved ? null : this.essence();
    if (this.unsaved) this.outbox.noteChange();
    this.active = Math.max(0, this.state.ranks_by_place.indexOf(0));
    if (this.state.ranks_by_place[this.state.focus] === 0) this.active = this.state.focus;
    this.before = -1;
    this.build();
    // Once all is painted: what is below the cards, put in later, would move the page again.
    if (before) requestAnimationFrame(() => this.fromPromptOn());
  }

  // A new task is read from its prompt on, wherever on the page the last one was submitted.
  fromPromptOn() {
    this.board.cards[0]?.scrollIntoView({ block: "nearest" });
    this.root.querySelector(".prompt")?.scrollIntoView({ block: "nearest" });
  }

  build() {
    const { root, shadow, data, words } = this;
    this.board?.leave();
    this.board = new Board({ root, shadow, data, words, acts: this.acts() });
  }

  acts() {
    return {
      busy: () => Boolean(this.outbox.deed),
      repaint: () => this.paint(),
      mark: (place) => this.mark(place),
      activate: (place) => this.activate(place),
      toggleRank: (place, rank) =>
        this.setRank(place, this.state.ranks_by_place[place] === rank ? 0 : rank),
      move: (place, way) => this.move(place, way),
      drop: (place, rank) => this.mark(place) || this.setRank(place, rank),
      layout: (name) => this.setLayout(name),
      differences: () => this.differences(),
      rewrite: (place) => this.rewrite(place),
      undo: () => this.undo(),
      submit: () => this.submit(),
      typed: (name, text) => {
        this.state[name] = text;
        this.changed();
      },
      skip: (reason) => this.deliver("skip", { nonce: newNonce(), reason }),
      flag: (flags, comment) => this.deliver("flag", { nonce: newNonce(), flags, comment }),
    };
  }

  // ---- what is kept ---------------------------------------------------------------------------

  essence() {
    const { milliseconds, changed_at, ...rest } = this.state;
    return JSON.stringify(rest);
  }

  changed() {
    this.notice = "";
    this.state.milliseconds = this.clock.milliseconds;
    this.state.changed_at = Date.now();
    keepHere(this.data.serial, this.state, this.nonce);
    this.outbox.noteChange();
    this.paint();
  }

  // The draft event, or null where the database has it already.
  unkept() {
    const text = this.essence();
    if (text === this.keptText) return null;
    this.keptText = text;
    const { assignment, serial } = this.data;
    return { assignment, serial, draft: { ...this.state, milliseconds: this.clock.milliseconds } };
  }

  visibility() {
    this.clock?.tick();
    if (document.visibilityState === "hidden") this.outbox.flush();
    else this.outbox.sendBeat();
  }

  // ---- ranks ----------------------------------------------------------------------------------

  setRanks(ranks, place) {
    if (this.outbox.deed) return;
    this.state.ranks_by_place = ranks;
    this.changed();
    this.board.live.textContent = saidOfChange(ranks, place, this.words);
  }

  setRank(place, rank) {
    this.setRanks(this.state.ranks_by_place.map((old, index) => (index === place ? rank : old)), place);
  }

  move(place, way) {
    const ranks = this.state.ranks_by_place;
    if (way === "tie") return this.setRanks(tiedWithNext(ranks, place), place);
    this.setRanks(movedBy(ranks, place, way === "better" ? -1 : 1), place);
  }

  rankActive(rank) {
    const place = this.active;
    this.setRank(place, rank);
    if (!this.outbox.deed) this.activate(placeAfter(this.state.ranks_by_place, place));
  }

  setStrength(strength) {
    if (this.outbox.deed || !canHaveStrength(this.state)) return;
    this.state.strength = this.state.strength === strength ? null : strength;
    this.changed();
    const said = this.state.strength ? `strength.${strength}` : "strength.question";
    this.board.live.textContent = say(this.words, said);
  }

  // ---- which completion is marked -------------------------------------------------------------

  mark(place) {
    if (this.active === place) return;
    this.before = this.active;
    this.active = place;
    this.state.focus = place;
    this.paint();
  }

  activate(place) {
    this.mark(place);
    const card = this.board.cards[place];
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }

  setLayout(layout) {
    this.state.layout = layout;
    rememberLayout(layout);
    this.changed();
    this.board.live.textContent = say(this.words, `layout.${layout}`);
    this.board.measure();
    this.board.cards[this.active].scrollIntoView({ block: "nearest" });
  }

  nextLayout() {
    const at = LAYOUTS.indexOf(this.state.layout);
    this.setLayout(LAYOUTS[(at + 1) % LAYOUTS.length]);
  }

  differences() {
    const { comparing } = this.board;
    comparing.toggle(this.active, this.before);
    const [left, right] = comparing.pair.map(letterOf);
    const key = comparing.on ? "said.comparing" : "said.not_comparing";
    this.board.live.textContent = say(this.words, key, { left, right });
  }

  // ---- deeds ----------------------------------------------------------------------------------

  deliver(name, value) {
    this.notice = "";
    this.outbox.deliver(name, { assignment: this.data.assignment, ...value });
  }

  submit() {
    if (this.outbox.deed) return;
    const { state, nonce } = this;
    const left = unrankedPlaces(state.ranks_by_place).map(letterOf).join(", ");
    if (left) return this.refuse(say(this.words, "rail.missing", { letters: left }));
    const { page } = this.data;
    const missing = missingNote(this.board.notes, state, this.words, page);
    if (missing) return this.refuse(missing);
    keepHere(this.data.serial, state, nonce);
    this.deliver("submit", {
      nonce,
      ranks_by_place: denseRanks(state.ranks_by_place),
      milliseconds: this.clock.milliseconds,
      strength: page?.strength ? state.strength : null,
      likert_by_place: answeredOnly(state.likert, page?.criteria, "likert"),
      checks_by_place: answeredOnly(state.checks, page?.criteria, "check"),
      flags: state.flags,
      rationale: state.rationale,
    });
  }

  rewrite(place) {
    const completion = { place, text: this.data.completions[place] };
    const send = (text) => this.deliver("rewrite", { nonce: newNonce(), place, text });
    openRewrite(this.board.dialogs, completion, this.words, send, this.state, () => this.changed());
  }

  refuse(text) {
    this.notice = text;
    this.paint();
    this.board.live.textContent = text;
  }

  undo() {
    if (this.data.can_undo) this.deliver("undo", { at: newNonce() });
  }

  // ---- painting -------------------------------------------------------------------------------

  paint() {
    if (!this.board) return;
    const { deed, late, online } = this.outbox;
    const lost = !online ? say(this.words, deed ? "offline.deed" : "offline") : "";
    const slow = late ? say(this.words, deed ? "submit.again" : "submit.failed") : "";
    this.paintParts();
    this.board.paint(this.state, {
      active: this.active,
      notice: lost || slow || this.notice,
      sending: Boolean(deed),
      complete: isComplete(this.state.ranks_by_place),
    });
  }

  paintParts() {
    const { state, words, board } = this;
    const changed = () => this.changed();
    if (board.page.strength) drawStrength(board.strength, state, words, changed);
    drawCriteria(board.criteria, state, words, changed, board.page);
    drawNotes(board.notes, state, words, changed, board.page);
  }

  paintCounts() {
    const { today, total, can_undo } = this.data;
    const { toolbar, banners } = this.board;
    toolbar.querySelector(".counts").textContent = say(this.words, "counts", { today, total });
    toolbar.querySelector(".undo").disabled = !can_undo;
    banners.replaceChildren(...this.bannersOf(this.data));
  }

  bannersOf({ news, feedback }) {
    const found = [];
    const add = (storage, key, text, kind) => {
      if (!text || readKept(storage, key) === "seen") return;
      const hide = () => {
        writeKept(storage, key, "seen");
        this.paintCounts();
      };
      found.push(bannerOf(text, this.words, hide, kind));
    };
    const learned = news && say(this.words, "news.learned", { count: news.judgments });
    add(inTab, `rankloop:feedback:${feedback?.id}`, feedback?.text, "feedback");
    add(inBrowser, `rankloop:news:${news?.id}`, learned, "news");
    return found;
  }
}

const wordsOf = ({ words, language, direction }) => ({ ...words, language, direction });

const SHEET = new CSSStyleSheet();
SHEET.replaceSync(STYLE);

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.adoptedStyleSheets = [SHEET];
  let view = VIEWS.get(parentElement);
  if (!view) VIEWS.set(parentElement, (view = new Ranking(parentElement)));
  view.outbox.post = setTriggerValue;
  view.unlisten();
  view.listen();
  view.told(data);
  return () => {
    view.outbox.leave();
    view.unlisten();
  };
}
