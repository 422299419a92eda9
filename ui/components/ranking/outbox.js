// Sending to the server. What can be answered directly is posted (`direct.js`); whatever is not goes
// by Streamlit's websocket. A deed (submit, skip, flag, undo, rewrite) is sent again with the same
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
  // `lost()` is called when the last one may not have arrived. `direct()` gives the address that
  // answers directly, "" for none, and `shown(data)` takes what it answers.
  constructor({ changed, draft, beat, lost = () => {}, direct = () => "", shown = () => {} }) {
    Object.assign(this, { changed, draft, beat, lost, direct, shown });
    this.deed = null;
    this.late = false;
    this.online = isOnline();
    this.anew = false;
    this.sentSince = 0;
    this.reload = () => location.reload();
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

  // Another page is shown, or this one anew: a draft that was due goes now, where that needs no page.
  leave() {
    if (this.drafting && this.direct()) this.flush();
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
      this.send(this.deed);
    }
    this.wait(wait);
    this.changed();
  }

  send(deed) {
    const path = this.direct();
    if (!path || !DIRECT_EVENTS.includes(deed.name)) return this.byPage(deed);
    const { tries } = deed;
    answerTo(path, deed.name, deed.value).then((answer) => {
      if (this.deed !== deed || deed.tries !== tries) return;
      if (answer?.data) this.shown(answer.data);
      // What was done already is not done again: the nonce is the same.
      else if (answer) this.byPage(deed);
      // Streamlit must not be asked while it may be cut off: what it then keeps to send is nothing
      // that another session of the server could answer.
      else this.wait(RECONNECTED_PATIENCE_MS);
    });
  }

  byPage(deed) {
    this.sentSince += 1;
    this.post(deed.name, deed.value);
  }

  wait(milliseconds) {
    clearTimeout(this.patience);
    this.dueAt = performance.now() + milliseconds;
    this.patience = setTimeout(() => this.unanswered(), milliseconds);
  }

  unanswered() {
    this.late = true;
    // The server was away and has begun anew: it knows nothing of this page, and never answers it.
    if (this.online && this.anew && this.sentSince > 0) return this.reload();
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
    if (online) Object.assign(this, { anew: true, sentSince: 0 });
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
    this.anew = false;
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
    this.note("draft", draft);
  }

  sendBeat() {
    if (this.deed || !this.online || document.visibilityState !== "visible") return;
    this.note("beat", this.beat());
  }

  note(name, value) {
    const path = this.direct();
    if (!path) return this.post(name, value);
    answerTo(path, name, value).then((answer) => {
      if (answer?.data) this.shown(answer.data);
      // A deed that was begun meanwhile must be the next that Streamlit hears of.
      else if (answer && !this.deed) this.post(name, value);
      else {
        this.lost();
        this.noteChange();
      }
    });
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
