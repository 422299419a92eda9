// Pure parts: letters, orders, moves. A rank of 0 means "not ranked yet"; 1 is best.

const letterOf = (place) => String.fromCharCode(65 + place);

const isComplete = (ranks) => ranks.length > 0 && ranks.every((rank) => rank > 0);

const unrankedPlaces = (ranks) => ranks.flatMap((rank, place) => (rank ? [] : [place]));

// Places of equal rank together, best first; places without a rank are left out.
function groupsOf(ranks) {
  const groups = new Map();
  ranks.forEach((rank, place) => {
    if (rank) groups.set(rank, [...(groups.get(rank) ?? []), place]);
  });
  return [...groups.keys()].sort((a, b) => a - b).map((rank) => groups.get(rank));
}

// "B > A = D > C".
const orderInSigns = (ranks) =>
  groupsOf(ranks)
    .map((group) => group.map(letterOf).join(" = "))
    .join(" > ");

function ranksOfGroups(groups, count) {
  const ranks = Array(count).fill(0);
  groups.forEach((group, index) => group.forEach((place) => (ranks[place] = index + 1)));
  return ranks;
}

// The same order as ranks 1, 2, 3 … without gaps: an empty lane says nothing.
const denseRanks = (ranks) => ranksOfGroups(groupsOf(ranks), ranks.length);

// One step better (-1) or worse (+1): out of a tie first, then past the next group. A place
// without a rank comes in as the last.
function movedBy(ranks, place, step) {
  const groups = groupsOf(ranks);
  const from = groups.findIndex((group) => group.includes(place));
  if (from < 0) return ranksOfGroups([...groups, [place]], ranks.length);
  const tied = groups[from].length > 1;
  const rest = groups.map((group) => group.filter((other) => other !== place));
  const at = tied ? from + (step > 0 ? 1 : 0) : Math.max(0, from + (step > 0 ? 2 : -1));
  rest.splice(at, 0, [place]);
  return ranksOfGroups(rest.filter((group) => group.length), ranks.length);
}

// Tied with the next better group (the best one: with the next worse).
function tiedWithNext(ranks, place) {
  const groups = groupsOf(ranks);
  const from = groups.findIndex((group) => group.includes(place));
  const to = from < 0 ? groups.length - 1 : from > 0 ? from - 1 : 1;
  if (!groups[to]) return from < 0 ? movedBy(ranks, place, -1) : ranks;
  const joined = groups.map((group, index) =>
    index === to ? [...group, place] : group.filter((other) => other !== place),
  );
  return ranksOfGroups(joined.filter((group) => group.length), ranks.length);
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
