// Sending to the server. A deed (submit, skip, flag, undo, rewrite) is sent again with the same
// nonce until it is answered, so that a lost connection costs nothing and nothing is done twice.
// Drafts and heartbeats wait while a deed is under way: Streamlit keeps only the newest event of
// a component that it has not begun to handle.

const FIRST_PATIENCE_MS = 8000;
const LONGEST_PATIENCE_MS = 30000;
const RECONNECTED_PATIENCE_MS = 1000;
// Refused without a word this often, a deed is given back to the annotator.
const MOST_TRIES = 4;
const DRAFT_EVERY_MS = 2000;
const BEAT_EVERY_MS = 60000;

class Outbox {
  // `changed()` is called when what there is to say has changed; `draft()` gives what to keep, and
  // `lost()` is called when the last one may not have arrived.
  constructor({ changed, draft, beat, lost = () => {} }) {
    Object.assign(this, { changed, draft, beat, lost });
    this.deed = null;
    this.late = false;
    this.online = isOnline();
    this.draftAt = -DRAFT_EVERY_MS;
  }

  listen() {
    this.watcher = watchConnection((online) => this.connection(online));
    this.beating = setInterval(() => this.sendBeat(), BEAT_EVERY_MS);
    // Streamlit mounts the component anew at each change of its data: what was due stays due.
    if (this.deed) this.wait(Math.max(0, this.dueAt - performance.now()));
    else this.noteChange();
  }

  unlisten() {
    this.watcher?.();
    clearInterval(this.beating);
    clearTimeout(this.patience);
    clearTimeout(this.drafting);
    this.drafting = null;
  }

  // ---- deeds ----------------------------------------------------------------------------------

  deliver(name, value) {
    if (this.deed) return false;
    clearTimeout(this.drafting);
    this.drafting = null;
    this.deed = { name, value, tries: 0 };
    this.late = false;
    this.try();
    return true;
  }

  try() {
    clearTimeout(this.patience);
    if (!this.deed) return;
    const wait = Math.min(FIRST_PATIENCE_MS * 2 ** this.deed.tries, LONGEST_PATIENCE_MS);
    if (this.online) {
      this.deed.tries += 1;
      this.post(this.deed.name, this.deed.value);
    }
    this.wait(wait);
    this.changed();
  }

  wait(milliseconds) {
    clearTimeout(this.patience);
    this.dueAt = performance.now() + milliseconds;
    this.patience = setTimeout(() => this.unanswered(), milliseconds);
  }

  unanswered() {
    this.late = true;
    if (this.online && this.deed.tries >= MOST_TRIES) this.deed = null;
    this.try();
    this.changed();
  }

  // Taken, or refused with a word; returns the deed that was under way.
  answered() {
    clearTimeout(this.patience);
    const { deed } = this;
    this.deed = null;
    this.late = false;
    return deed;
  }

  connection(online) {
    if (online === this.online) return;
    this.online = online;
    // Streamlit first runs the page again for the new connection; what is sent with it is lost.
    if (online && this.deed) this.wait(RECONNECTED_PATIENCE_MS);
    if (online) {
      this.lost();
      this.draftAt = performance.now();
      this.noteChange();
    }
    this.changed();
  }

  // Another server, or another session of it, has shown the page: it knows of nothing under way.
  shownAnew() {
    this.lost();
    if (this.deed) this.try();
    else this.noteChange();
  }

  // ---- drafts and heartbeats ------------------------------------------------------------------

  noteChange() {
    if (this.drafting || this.deed) return;
    const wait = Math.max(0, this.draftAt + DRAFT_EVERY_MS - performance.now());
    this.drafting = setTimeout(() => this.flush(), wait);
  }

  flush() {
    clearTimeout(this.drafting);
    this.drafting = null;
    if (this.deed || !this.online) return;
    const draft = this.draft();
    if (!draft) return;
    this.draftAt = performance.now();
    this.post("draft", draft);
  }

  sendBeat() {
    if (this.deed || !this.online || document.visibilityState !== "visible") return;
    this.post("beat", this.beat());
  }
}

// Streamlit writes the state of its websocket on the page; elsewhere the browser's own word counts.
const connectionMark = () => document.querySelector("[data-test-connection-state]");

function isOnline() {
  const state = connectionMark()?.getAttribute("data-test-connection-state");
  return navigator.onLine && (state === undefined || state === "CONNECTED");
}

function watchConnection(tell) {
  const look = () => tell(isOnline());
  const observer = new MutationObserver(look);
  const mark = connectionMark();
  if (mark) observer.observe(mark, { attributeFilter: ["data-test-connection-state"] });
  window.addEventListener("online", look);
  window.addEventListener("offline", look);
  look();
  return () => {
    observer.disconnect();
    window.removeEventListener("online", look);
    window.removeEventListener("offline", look);
  };
}
