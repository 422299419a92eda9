// What is typed into a field whose key begins with "unsaved-" is kept in this browser at every key
// press, and brought to a session that knows nothing of it: after a reload, or a server's restart.
// It is forgotten when the server has saved it, and when its account signs out (`leave.js`).

const KEEPERS = new WeakMap();
const LONGEST_KEPT_MS = 90 * 24 * 3600 * 1000;
// Until then the server has heard of a text whose field was left, unless it is very busy.
const HEARD_MS = 2000;
// For so long a browser may be busy with what it does when a field is left.
const JUST_LEFT_MS = 2000;
// Streamlit writes a field's key into a class of what is around it.
const AROUND = '[class*="st-key-unsaved-"]';
const KEY = /(?:^|\s)st-key-(unsaved-[a-z0-9-]+)/;

function keyOf(target) {
  const around = target instanceof Element ? target.closest(AROUND) : null;
  return around && KEY.exec(around.className)?.[1];
}

const isField = (target) => target instanceof Element && target.matches("input, textarea");

class Keeper {
  constructor() {
    this.typed = new Map(); // on this page, since it was loaded
    this.offered = new Map();
    this.onInput = ({ target }) => {
      const key = this.data && keyOf(target);
      if (!key || typeof target.value !== "string" || target.type === "radio") return;
      this.typed.set(key, target.value);
      this.keep(key, target.value);
      this.lookSoon();
    };
    this.leftAt = -Infinity; // when a field was left last
    this.onLeft = ({ target }) => {
      if (isField(target)) this.leftAt = performance.now();
      if (this.data && keyOf(target)) this.lookSoon();
    };
    this.onClick = (event) => this.letTextGoFirst(event);
  }

  listen() {
    // Heard after Streamlit, which may shorten what is typed.
    document.addEventListener("input", this.onInput);
    document.addEventListener("focusout", this.onLeft);
    // Heard before Streamlit.
    document.addEventListener("click", this.onClick, true);
  }

  unlisten() {
    document.removeEventListener("input", this.onInput);
    document.removeEventListener("focusout", this.onLeft);
    document.removeEventListener("click", this.onClick, true);
  }

  // Streamlit sends the text of a field that is left a moment later, with the page of that moment.
  // In a busy browser a click on a link comes before it: the other page is asked for, and then, with
  // the text, this one again, so that the click seems to do nothing. The click waits for the text.
  letTextGoFirst(event) {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    const modified = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!link || modified || performance.now() - this.leftAt > JUST_LEFT_MS) return;
    this.leftAt = -Infinity;
    event.preventDefault();
    event.stopImmediatePropagation();
    setTimeout(() => link.click());
  }

  show(data) {
    if (data.session !== this.data?.session) {
      this.heard = 0;
      this.nothing = false;
    }
    this.data = data;
    for (const [number, key] of data.forgotten) {
      if (number <= this.heard) continue;
      this.heard = number;
      this.typed.delete(key);
      this.keep(key, "");
    }
    if (!data.brought && !this.nothing) {
      const kept = this.all();
      this.nothing = Object.keys(kept).length === 0;
      // What the server knows is older: until it has what is kept here, it changes nothing here.
      if (!this.nothing) return this.post("brought", { kept });
    }
    for (const [key, value] of Object.entries(data.chosen)) this.keep(key, value ?? "");
  }

  lookSoon() {
    clearTimeout(this.looking);
    this.looking = setTimeout(() => this.offerUnheard(), HEARD_MS);
  }

  // Streamlit drops a text whose field is left by a click on a link, where the server is busy just
  // then: the request for the other page takes the place of the one with the text.
  offerUnheard() {
    const state = document.querySelector("[data-test-script-state]");
    if (state && state.getAttribute("data-test-script-state") !== "notRunning") return this.lookSoon();
    const unheard = [...this.typed].filter(
      ([key, value]) =>
        value !== (this.data.typed[key] ?? "") &&
        value !== this.offered.get(key) &&
        key !== keyOf(document.activeElement),
    );
    unheard.forEach(([key, value]) => this.offered.set(key, value));
    if (unheard.length) this.post("brought", { kept: Object.fromEntries(unheard) });
  }

  // Storage may be full or forbidden (private windows): what it keeps is a comfort, no condition.

  place() {
    return `rankloop:unsaved:${this.data.owner}:`;
  }

  keep(key, value) {
    try {
      if (value === "") localStorage.removeItem(this.place() + key);
      else localStorage.setItem(this.place() + key, JSON.stringify({ value, at: Date.now() }));
    } catch {}
  }

  all() {
    const found = {};
    try {
      const names = Object.keys(localStorage).filter((name) => name.startsWith(this.place()));
      for (const name of names) {
        const { value, at } = JSON.parse(localStorage.getItem(name));
        if (at > Date.now() - LONGEST_KEPT_MS) found[name.slice(this.place().length)] = value;
        else localStorage.removeItem(name);
      }
    } catch {}
    return found;
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  let keeper = KEEPERS.get(parentElement);
  if (!keeper) KEEPERS.set(parentElement, (keeper = new Keeper()));
  keeper.post = setTriggerValue;
  keeper.unlisten();
  keeper.listen();
  keeper.show(data);
  return () => keeper.unlisten();
}
