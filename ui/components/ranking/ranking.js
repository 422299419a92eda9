// The ranking of one task. Streamlit calls the default export at every change of `data`; what the
// annotator has done so far is kept by assignment, so a repaint never loses it.

const SAVE_PATIENCE_MS = 8000;
const VIEWS = new WeakMap();

class Ranking {
  constructor(shadow) {
    this.shadow = shadow;
    this.root = shadow.querySelector(".ranking");
    this.onKey = (event) => this.key(event);
    this.onVisibility = () => this.tick();
  }

  listen() {
    window.addEventListener("keydown", this.onKey, true);
    document.addEventListener("visibilitychange", this.onVisibility);
  }

  unlisten() {
    window.removeEventListener("keydown", this.onKey, true);
    document.removeEventListener("visibilitychange", this.onVisibility);
    clearTimeout(this.patience);
  }

  // ---- what Python says ----------------------------------------------------------------------

  show(data) {
    const fresh = data.serial !== this.data?.serial;
    const refused = data.refusal && data.refusal.id !== this.data?.refusal?.id;
    const before = this.data?.serial;
    this.data = data;
    if (fresh) this.start(before);
    if (fresh || refused) this.wake(refused ? data.refusal.text : "");
    this.paintCounts();
    this.paint();
  }

  start(before) {
    const { serial, completions, ranks } = this.data;
    // Opening the last judgment again must not cost the draft of the task at hand.
    if (["submit", "skip"].includes(this.told)) dropDraft(before);
    this.told = null;
    const draft = readDraft(serial, completions.length);
    this.ranks = draft?.ranks ?? ranks ?? completions.map(() => 0);
    this.nonce = draft?.nonce ?? newNonce();
    this.seen = Number(draft?.milliseconds) || 0;
    this.since = null;
    this.active = Math.max(0, this.ranks.indexOf(0));
    this.tick();
    this.build();
    if (before !== undefined) this.cards[0]?.scrollIntoView({ block: "nearest" });
  }

  wake(notice) {
    clearTimeout(this.patience);
    this.sending = false;
    this.notice = notice;
  }

  // ---- time on the task, without the time in another tab --------------------------------------

  tick() {
    const time = performance.now();
    if (this.since !== null && this.since !== undefined) this.seen += time - this.since;
    this.since = document.visibilityState === "visible" ? time : null;
  }

  save() {
    this.tick();
    const { ranks, nonce } = this;
    writeDraft(this.data.serial, { ranks, nonce, milliseconds: Math.round(this.seen) });
  }

  // ---- what the annotator does ----------------------------------------------------------------

  setRank(place, rank) {
    if (this.sending) return;
    this.ranks = this.ranks.map((old, index) => (index === place ? rank : old));
    this.notice = "";
    this.save();
    const words = rank ? `ranked ${rank}` : "not ranked";
    this.live.textContent = `Completion ${letterOf(place)} ${words}. ${this.summary()}`;
    this.paint();
  }

  activate(place) {
    this.active = place;
    this.cards[place].focus({ preventScroll: true });
    this.cards[place].scrollIntoView({ block: "nearest" });
    this.paint();
  }

  submit() {
    if (this.sending) return;
    if (!isComplete(this.ranks)) {
      this.notice = `Still to rank: ${unrankedPlaces(this.ranks).map(letterOf).join(", ")}`;
      return this.paint();
    }
    this.save();
    this.tell("submit", {
      assignment: this.data.assignment,
      ranks_by_place: denseRanks(this.ranks),
      nonce: this.nonce,
      milliseconds: Math.round(this.seen),
    });
  }

  tell(name, value) {
    if (this.sending) return;
    this.sending = true;
    this.told = name;
    this.notice = "";
    this.patience = setTimeout(() => {
      this.wake("Not saved yet. Check your connection and try again; nothing is counted twice.");
      this.paint();
    }, SAVE_PATIENCE_MS);
    this.send(name, value);
    this.paint();
  }

  undo() {
    if (this.data.can_undo) this.tell("undo", { assignment: this.data.assignment, at: newNonce() });
  }

  toggleTexts() {
    const open = !this.cards.some((card) => card.classList.contains("open"));
    this.cards.forEach((card) => this.openCard(card, open));
  }

  openCard(card, open) {
    card.classList.toggle("open", open);
    card.querySelector(".more").textContent = open ? "Show less" : "Show all";
  }

  // ---- keys -----------------------------------------------------------------------------------

  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.root.isConnected || this.shadow.querySelector("dialog[open]")) return;
    const target = event.composedPath()[0];
    if (target.closest?.("input, textarea, select, [contenteditable=true], [role=dialog]")) return;
    const ours = target instanceof Node && this.root.contains(target);
    const button = target.closest?.("button, a, [role=button], [role=menuitem]");
    if (event.key === "Enter" && button && !(ours && button.matches(".rank"))) return;
    if (!this.act(event)) return;
    // Streamlit has keys of its own (R, C): what we used must not reach it.
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  act({ key, repeat }) {
    const count = this.ranks.length;
    const place = key.length === 1 ? key.toUpperCase().charCodeAt(0) - 65 : -1;
    if (repeat && key !== "ArrowLeft" && key !== "ArrowRight") return /^[1-9]$|^Enter$/.test(key);
    if (/^[1-9]$/.test(key) && Number(key) <= count) this.rankActive(Number(key));
    else if (key === "0" || key === "Backspace" || key === "Delete") this.setRank(this.active, 0);
    else if (place >= 0 && place < count) this.activate(place);
    else if (key === "ArrowLeft") this.activate((this.active + count - 1) % count);
    else if (key === "ArrowRight") this.activate((this.active + 1) % count);
    else if (key === "Enter") this.submit();
    else if (key === "?") this.helpBox.showModal();
    else if (/^s$/i.test(key)) this.skipBox.showModal();
    else if (/^u$/i.test(key)) this.undo();
    else if (/^x$/i.test(key)) this.toggleTexts();
    else return false;
    return true;
  }

  rankActive(rank) {
    const place = this.active;
    this.setRank(place, rank);
    if (!this.sending) this.activate(placeAfter(this.ranks, place));
  }

  // ---- the page -------------------------------------------------------------------------------

  build() {
    const { messages, completions, assignment } = this.data;
    const count = completions.length;
    this.cards = completions.map((text, place) => cardOf(text, place, count));
    this.lanes = lanesOf(count);
    this.toolbar = toolbarOf();
    this.live = el("div", { class: "unseen", "aria-live": "polite" });
    this.words = el("div", { class: "words", role: "status" });
    this.button = el("button", { class: "primary submit", type: "button" }, [
      el("span", { text: "Submit" }),
      el("kbd", { text: "Enter", "aria-hidden": "true" }),
    ]);
    this.rail = el("section", { class: "rail", "aria-label": "Your ranking" }, [
      el("div", { class: "lanes" }, this.lanes),
      el("div", { class: "foot" }, [this.words, this.button]),
    ]);
    this.helpBox = helpDialog();
    this.skipBox = skipDialog((reason) => this.tell("skip", { assignment, reason, at: newNonce() }));
    this.newsSlot = el("div", { class: "news-slot" });
    this.root.replaceChildren(this.toolbar, this.newsSlot, promptSection(messages),
      el("div", { class: "cards" }, this.cards), this.rail, this.live, this.helpBox, this.skipBox);
    this.root.dataset.assignment = String(assignment);
    this.wire();
    requestAnimationFrame(() => this.measure());
  }

  wire() {
    this.cards.forEach((card, place) => {
      card.addEventListener("focus", () => this.active !== place && this.activate(place));
      card.addEventListener("click", (event) => this.clickCard(event, place));
      this.draggable(card.querySelector(".grab"), place);
    });
    this.toolbar.querySelector(".undo").addEventListener("click", () => this.undo());
    this.toolbar.querySelector(".skip").addEventListener("click", () => this.skipBox.showModal());
    this.toolbar.querySelector(".help").addEventListener("click", () => this.helpBox.showModal());
    this.button.addEventListener("click", () => this.submit());
  }

  clickCard(event, place) {
    const button = event.target.closest("button");
    if (button?.matches(".rank")) {
      const rank = Number(button.dataset.rank);
      this.setRank(place, this.ranks[place] === rank ? 0 : rank);
    }
    if (button?.matches(".more")) this.openCard(this.cards[place], button.textContent === "Show all");
    if (!button) this.activate(place);
    else if (this.active !== place) {
      this.active = place;
      this.paint();
    }
  }

  draggable(handle, place) {
    makeDraggable(handle, {
      shadow: this.shadow,
      label: letterOf(place),
      lanes: () => this.lanes,
      rail: () => this.rail,
      allowed: () => !this.sending,
      drop: (rank) => {
        this.active = place;
        this.setRank(place, rank);
      },
    });
  }

  measure() {
    this.cards.forEach((card) => {
      const body = card.querySelector(".text");
      card.querySelector(".more").hidden = body.scrollHeight <= body.clientHeight + 4;
    });
  }

  summary() {
    const left = unrankedPlaces(this.ranks);
    const words = orderInWords(this.ranks);
    if (!words) return "Give each completion a rank; equal ranks are a tie.";
    return left.length ? `${words}  ·  left: ${left.map(letterOf).join(", ")}` : words;
  }

  paintCounts() {
    const { today, total, news, can_undo } = this.data;
    this.toolbar.querySelector(".counts").textContent = `${today} today · ${total} in all`;
    this.toolbar.querySelector(".undo").disabled = !can_undo;
    const key = news && `rankloop:news:${news.version}`;
    const hide = () => {
      localStorage.setItem(key, "seen");
      this.newsSlot.replaceChildren();
    };
    const shown = news && localStorage.getItem(key) !== "seen";
    this.newsSlot.replaceChildren(...(shown ? [newsOf(news, hide)] : []));
  }

  paint() {
    this.cards.forEach((card, place) => this.paintCard(card, place));
    this.lanes.forEach((lane, index) => {
      const places = this.ranks.flatMap((rank, place) => (rank === index + 1 ? [place] : []));
      lane.querySelector(".chips").replaceChildren(...places.map((place) => this.chip(place)));
      lane.classList.toggle("filled", places.length > 0);
    });
    const complete = isComplete(this.ranks);
    this.root.classList.toggle("sending", Boolean(this.sending));
    this.button.disabled = !complete || this.sending;
    this.button.firstChild.textContent = this.sending ? "Saving" : "Submit";
    this.words.textContent = this.notice || this.summary();
    this.words.classList.toggle("complete", complete && !this.notice);
    this.words.classList.toggle("notice", Boolean(this.notice));
  }

  paintCard(card, place) {
    const rank = this.ranks[place];
    card.classList.toggle("active", place === this.active);
    card.classList.toggle("ranked", rank > 0);
    const words = rank ? `rank ${rank}` : "not ranked";
    card.setAttribute("aria-label", `Completion ${letterOf(place)}, ${words}`);
    card.querySelectorAll(".rank").forEach((button, index) => {
      button.setAttribute("aria-pressed", String(index + 1 === rank));
    });
  }

  chip(place) {
    const letter = letterOf(place);
    const chip = el("button", { class: "chip", type: "button", text: letter,
      "aria-label": `Completion ${letter}: go to it` });
    chip.addEventListener("click", () => this.activate(place));
    this.draggable(chip, place);
    return chip;
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  let view = VIEWS.get(parentElement);
  if (!view) VIEWS.set(parentElement, (view = new Ranking(parentElement)));
  view.send = setTriggerValue;
  view.unlisten();
  view.listen();
  view.show(data);
  return () => view.unlisten();
}
