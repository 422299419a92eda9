// Pure parts: letters, the order in words, drafts. A rank of 0 means "not ranked yet".

const letterOf = (place) => String.fromCharCode(65 + place);

const isComplete = (ranks) => ranks.length > 0 && ranks.every((rank) => rank > 0);

const unrankedPlaces = (ranks) => ranks.flatMap((rank, place) => (rank ? [] : [place]));

// "B > A = D > C": groups of equal rank, best first.
function orderInWords(ranks) {
  const groups = new Map();
  ranks.forEach((rank, place) => {
    if (rank) groups.set(rank, [...(groups.get(rank) ?? []), letterOf(place)]);
  });
  return [...groups.keys()]
    .sort((a, b) => a - b)
    .map((rank) => groups.get(rank).join(" = "))
    .join(" > ");
}

// The same order as ranks 1, 2, 3 … without gaps: an empty lane says nothing.
function denseRanks(ranks) {
  const used = [...new Set(ranks)].sort((a, b) => a - b);
  return ranks.map((rank) => used.indexOf(rank) + 1);
}

// The place to look at after `place` was ranked: the next one without a rank, else the same.
function placeAfter(ranks, place) {
  for (let step = 1; step <= ranks.length; step += 1) {
    const next = (place + step) % ranks.length;
    if (!ranks[next]) return next;
  }
  return place;
}

function newNonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A draft belongs to one showing of a task: a judgment opened again starts a draft of its own.
const draftKey = (serial) => `rankloop:draft:${serial}`;

function readDraft(serial, count) {
  try {
    const draft = JSON.parse(sessionStorage.getItem(draftKey(serial)) ?? "null");
    const fits =
      Array.isArray(draft?.ranks) &&
      draft.ranks.length === count &&
      draft.ranks.every((rank) => Number.isInteger(rank) && rank >= 0 && rank <= count) &&
      typeof draft.nonce === "string";
    return fits ? draft : null;
  } catch {
    return null;
  }
}

// Storage may be full or forbidden (private windows): a draft is a comfort, never a condition.
function writeDraft(serial, draft) {
  try {
    sessionStorage.setItem(draftKey(serial), JSON.stringify(draft));
  } catch {}
}

function dropDraft(serial) {
  try {
    sessionStorage.removeItem(draftKey(serial));
  } catch {}
}
