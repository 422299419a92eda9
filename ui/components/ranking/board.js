// The page of one showing of a task: built once, then painted from the state.

class Board {
  // `acts` are the controller's methods by name; nothing here decides what a press means.
  constructor({ root, shadow, data, words, acts }) {
    Object.assign(this, { root, shadow, words, acts });
    this.page = data.page ?? {};
    this.count = data.completions.length;
    // Side by side has no room on a phone.
    this.narrow = window.matchMedia("(max-width: 720px)");
    this.build(data);
    this.wire();
  }

  build({ messages, completions, assignment }) {
    const { words, count, page } = this;
    this.cards = completions.map((text, place) =>
      cardOf(text, place, count, words, Boolean(page.rewrites)),
    );
    this.bodies = this.cards.map((card) => card.querySelector(".text"));
    this.lanes = lanesOf(count, words);
    Object.assign(this, railOf(this.lanes, words));
    this.toolbar = toolbarOf(words, page);
    this.tabs = tabsOf(count, words);
    this.live = el("div", { class: "unseen", role: "status", "aria-live": "polite" });
    this.banners = el("div", { class: "banners", role: "status" });
    this.strength = el("div", { class: "slot strength-slot" });
    this.criteria = el("div", { class: "slot criteria-slot" });
    this.notes = el("div", { class: "slot notes-slot" });
    this.differenceBar = differenceBar(count, words);
    this.help = helpDialog(words, (name) => this.offers(name));
    this.skip = skipDialog(words, (reason) => this.acts.skip(reason),
      (text) => this.acts.typed("skip_reason", text));
    this.flag = flagDialog(words, page.flags ?? [], (flags, comment) => this.acts.flag(flags, comment),
      (text) => this.acts.typed("flag_comment", text));
    this.dialogs = el("div", { class: "dialogs" }, [this.help, this.skip, this.flag]);
    this.list = el("div", { class: "cards", style: `--count: ${count}` }, this.cards);
    this.root.replaceChildren(this.toolbar, this.banners, promptSection(messages, words),
      this.differenceBar, this.tabs, this.list, this.strength, this.criteria, this.notes,
      this.rail, this.live, this.dialogs);
    this.root.dataset.assignment = String(assignment);
    this.root.dataset.count = String(count);
    this.root.dir = words.direction ?? "ltr";
    this.root.lang = words.language ?? "en";
    this.comparing = new Comparing({ texts: completions, bodies: this.bodies, words,
      bar: this.differenceBar, changed: () => this.acts.repaint() });
    requestAnimationFrame(() => this.measure());
    this.resized = new ResizeObserver(() => this.measure());
    this.resized.observe(this.list);
  }

  leave() {
    this.resized.disconnect();
  }

  // Commands that this project's page has no use for stay out of the help.
  offers(name) {
    if (name === "strength") return this.count === 2 && Boolean(this.page.strength);
    if (name === "rewrite") return Boolean(this.page.rewrites);
    if (name === "flag") return Boolean(this.page.flags?.length);
    if (name === "notes") return (this.page.rationale ?? "off") !== "off";
    return true;
  }

  wire() {
    const { acts } = this;
    const onClick = (node, act) => node?.addEventListener("click", act);
    this.cards.forEach((card, place) => {
      card.addEventListener("focusin", () => acts.mark(place));
      card.addEventListener("click", (event) => this.clickCard(event, place));
      this.draggable(card.querySelector(".grab"), place);
    });
    onClick(this.toolbar, ({ target }) => {
      const layout = target.closest("[data-layout]")?.dataset.layout;
      if (layout) acts.layout(layout);
    });
    const tool = (name) => this.toolbar.querySelector(`.tool.${name}`);
    onClick(tool("undo"), () => acts.undo());
    onClick(tool("skip"), () => this.skip.showModal());
    onClick(tool("flag"), () => this.flag.showModal());
    onClick(tool("help"), () => this.help.showModal());
    onClick(tool("differences"), () => acts.differences());
    onClick(this.tabs, ({ target }) => {
      const tab = target.closest(".tab");
      if (tab) acts.activate(Number(tab.dataset.place));
    });
    onClick(this.button, () => acts.submit());
  }

  clickCard(event, place) {
    const button = event.target.closest("button");
    if (!button) return this.acts.mark(place);
    if (button.matches(".rank")) this.acts.toggleRank(place, Number(button.dataset.rank));
    if (button.matches(".move")) this.acts.move(place, button.dataset.move);
    if (button.matches(".more")) this.open(place, !this.isOpen(place));
    if (button.matches(".rewrite")) this.acts.rewrite(place);
  }

  draggable(handle, place) {
    return new Dragging(handle, {
      label: letterOf(place),
      root: () => this.root,
      lanes: () => this.lanes,
      rail: () => this.rail,
      allowed: () => !this.acts.busy(),
      drop: (rank) => this.acts.drop(place, rank),
    });
  }

  // ---- long texts -----------------------------------------------------------------------------

  isOpen(place) {
    return this.cards[place].classList.contains("open");
  }

  open(place, open) {
    const card = this.cards[place];
    const more = card.querySelector(".more");
    card.classList.toggle("open", open);
    more.textContent = say(this.words, open ? "card.less" : "card.more");
    more.setAttribute("aria-expanded", String(open));
    if (!open) card.scrollIntoView({ block: "nearest" });
    this.reachable(place, !open);
  }

  toggleTexts() {
    const open = !this.cards.some((_, place) => this.isOpen(place));
    this.cards.forEach((card, place) => !card.querySelector(".more").hidden && this.open(place, open));
  }

  // A text that scrolls inside its card is a stop of the Tab key, so that the keyboard reaches it.
  reachable(place, scrolls) {
    const body = this.bodies[place];
    const letter = letterOf(place);
    const attributes = { tabindex: "0", role: "group", "aria-label": say(this.words, "card.text", { letter }) };
    for (const [name, value] of Object.entries(attributes)) {
      if (scrolls) body.setAttribute(name, value);
      else body.removeAttribute(name);
    }
  }

  measure() {
    const heights = this.bodies.map((body) => [body.scrollHeight, body.clientHeight]);
    heights.forEach(([whole, seen], place) => {
      if (!seen || this.isOpen(place)) return;
      const long = whole > seen + 4;
      this.cards[place].querySelector(".more").hidden = !long;
      this.cards[place].classList.toggle("long", long);
      this.reachable(place, long);
    });
    this.root.querySelectorAll(".prompt").forEach((prompt) => {
      if (prompt.scrollHeight > prompt.clientHeight + 4) prompt.tabIndex = 0;
    });
  }

  // ---- painting -------------------------------------------------------------------------------

  paint(state, { active, notice, sending, complete }) {
    const ranks = state.ranks_by_place;
    this.cards.forEach((card, place) => this.paintCard(card, place, ranks[place], active));
    this.lanes.forEach((lane, index) => this.paintLane(lane, index + 1, ranks));
    this.tabs.querySelectorAll(".tab").forEach((tab, place) => this.paintTab(tab, ranks[place], place === active));
    const layout = this.narrow.matches && state.layout === LAYOUTS[0] ? "stacked" : state.layout;
    this.root.dataset.layout = layout;
    this.root.classList.toggle("comparing", this.comparing.on);
    this.toolbar.querySelectorAll("[data-layout]").forEach((button) =>
      button.setAttribute("aria-pressed", String(button.dataset.layout === layout)),
    );
    this.toolbar.querySelector(".differences").setAttribute("aria-pressed", String(this.comparing.on));
    for (const [dialog, name] of [[this.skip, "skip_reason"], [this.flag, "flag_comment"]])
      if (dialog.field.value !== (state[name] ?? "")) dialog.field.value = state[name] ?? "";
    this.root.classList.toggle("sending", sending);
    this.button.disabled = !complete || sending;
    this.button.firstChild.textContent = say(this.words, sending ? "submit.saving" : "submit");
    this.status.textContent = notice || this.summary(ranks);
    this.status.classList.toggle("complete", complete && !notice);
    this.status.classList.toggle("notice", Boolean(notice));
  }

  paintCard(card, place, rank, active) {
    card.classList.toggle("active", place === active);
    card.classList.toggle("ranked", rank > 0);
    card.classList.toggle("beside", this.comparing.shows(place));
    const letter = letterOf(place);
    const key = rank ? "card.ranked" : "card.unranked";
    card.setAttribute("aria-label", say(this.words, key, { letter, rank }));
    const buttons = [...card.querySelectorAll(".rank")];
    buttons.forEach((button, index) => {
      button.setAttribute("aria-pressed", String(index + 1 === rank));
      button.tabIndex = index + 1 === (rank || 1) ? 0 : -1;
    });
  }

  paintLane(lane, rank, ranks) {
    const places = ranks.flatMap((each, place) => (each === rank ? [place] : []));
    const chips = lane.querySelector(".chips");
    const drawn = [...chips.children].map((chip) => Number(chip.dataset.place));
    lane.classList.toggle("filled", places.length > 0);
    if (drawn.join() === places.join()) return;
    chips.replaceChildren(...places.map((place) => this.chip(place)));
  }

  paintTab(tab, rank, current) {
    tab.querySelector(".tab-rank").textContent = rank || "–";
    const letter = letterOf(Number(tab.dataset.place));
    const key = rank ? "card.ranked" : "card.unranked";
    tab.setAttribute("aria-label", say(this.words, key, { letter, rank }));
    tab.setAttribute("aria-current", String(current));
  }

  chip(place) {
    const chip = chipOf(place, this.words);
    chip.addEventListener("click", () => this.acts.activate(place));
    this.draggable(chip, place);
    return chip;
  }

  summary(ranks) {
    const left = unrankedPlaces(ranks).map(letterOf).join(", ");
    const order = orderInSigns(ranks);
    if (!order) return say(this.words, "rail.hint");
    return left ? `${order}  ·  ${say(this.words, "rail.left", { letters: left })}` : order;
  }
}
