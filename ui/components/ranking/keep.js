// What the annotator has done so far: one plain object, which is exactly what a draft holds. It is
// kept in this tab at every change and sent to the database by `outbox.js`; the newer one wins.

const LAYOUTS = ["side-by-side", "stacked", "focus"];
const LAYOUT_KEY = "rankloop:layout";
const keptKey = (serial) => `rankloop:draft:${serial}`;

function freshState(count) {
  return {
    ranks_by_place: Array(count).fill(0),
    strength: null,
    likert: {},
    checks: {},
    flags: [],
    rationale: "",
    layout: "",
    focus: 0,
    milliseconds: 0,
    changed_at: 0,
  };
}

const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// The state that `draft` holds, or null where it does not fit `count` completions.
function stateFrom(draft, count) {
  const ranks = draft?.ranks_by_place;
  const fits =
    Array.isArray(ranks) &&
    ranks.length === count &&
    ranks.every((rank) => Number.isInteger(rank) && rank >= 0 && rank <= count);
  if (!fits) return null;
  const state = { ...freshState(count), ...draft, ranks_by_place: [...ranks] };
  state.likert = isRecord(state.likert) ? state.likert : {};
  state.checks = isRecord(state.checks) ? state.checks : {};
  state.flags = Array.isArray(state.flags) ? state.flags : [];
  state.rationale = String(state.rationale ?? "");
  // What was typed into the windows to skip and to flag.
  for (const name of ["skip_reason", "flag_comment"]) state[name] = String(state[name] ?? "");
  state.focus = Number.isInteger(state.focus) ? Math.min(Math.max(0, state.focus), count - 1) : 0;
  state.milliseconds = Math.max(0, Number(state.milliseconds) || 0);
  state.changed_at = Number(state.changed_at) || 0;
  return state;
}

// Storage may be full or forbidden (private windows): what it keeps is a comfort, no condition.
function readKept(storage, key) {
  try {
    return JSON.parse(storage().getItem(key) ?? "null");
  } catch {
    return null;
  }
}

function writeKept(storage, key, value) {
  try {
    if (value === null) storage().removeItem(key);
    else storage().setItem(key, JSON.stringify(value));
  } catch {}
}

const inTab = () => sessionStorage;
const inBrowser = () => localStorage;

// What begins a showing: the newer of this tab's copy and the database's draft, whether the
// database lacks it, and the nonce.
function begin({ serial, completions, draft, layout }) {
  const count = completions.length;
  const kept = readKept(inTab, keptKey(serial));
  const here = stateFrom(kept?.state, count);
  const there = stateFrom(draft, count);
  const newer = here && there ? (there.changed_at > here.changed_at ? there : here) : here ?? there;
  const state = newer ?? freshState(count);
  const wanted = [readKept(inBrowser, LAYOUT_KEY), state.layout, layout];
  state.layout = wanted.find((name) => LAYOUTS.includes(name)) ?? LAYOUTS[0];
  const nonce = typeof kept?.nonce === "string" ? kept.nonce : newNonce();
  const unsaved = here !== null && here.changed_at > (there?.changed_at ?? 0);
  return { state, nonce, unsaved };
}

const keepHere = (serial, state, nonce) => writeKept(inTab, keptKey(serial), { state, nonce });
const forget = (serial) => writeKept(inTab, keptKey(serial), null);
const rememberLayout = (layout) => writeKept(inBrowser, LAYOUT_KEY, layout);

// The answers to the questions of one kind that the page asks now: a draft may hold some to
// questions that a lead has taken away since. One without any answer is not sent.
function answeredOnly(answers, criteria, kind) {
  const asked = (criteria ?? []).filter((each) => (each.kind === "check" ? "check" : "likert") === kind);
  const given = asked
    .map(({ name }) => [name, Object.hasOwn(answers, name) ? answers[name] : null])
    .filter(([, row]) => Array.isArray(row) && row.some((each) => each !== null));
  return Object.fromEntries(given);
}
