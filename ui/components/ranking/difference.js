// Differences of two texts, word by word. What comes back is plain text in pieces: whoever draws
// them puts each piece into textContent.
//
// Myers' greedy algorithm (An O(ND) Difference Algorithm, 1986), where the texts are close. Where
// they are far apart, words that occur once in each are anchors (patience diff), and Myers fills
// the gaps: 100 KB against 100 KB stays under a blink.

const MOST_EDITS = 600;
const ANCHOR_LENGTHS = [4, 1];
// Runs of equal words lighter than this, between heavier changes, are coincidence, not likeness.
const LIGHT_RUN = 12;
const IDEOGRAPH_WEIGHT = 4;

// A line end with its indent; a whole emoji or flag; one character of a script that writes no
// blanks between words; a word; anything else. Blanks belong to the word before them.
const NO_BLANKS = "[\\p{sc=Han}\\p{sc=Hira}\\p{sc=Kana}\\p{sc=Thai}\\p{sc=Lao}\\p{sc=Khmr}\\p{sc=Mymr}]";
const EMOJI =
  "\\p{RI}{2}|\\p{Extended_Pictographic}(?:\\uFE0F|\\p{EMod}|\\u200D\\p{Extended_Pictographic})*";
const TOKEN = new RegExp(
  `\\n\\s*|(?:${EMOJI}|${NO_BLANKS}\\p{M}*|(?:(?!${NO_BLANKS})[\\p{L}\\p{N}\\p{M}_'’])+|.\\p{M}*)[^\\S\\n]*`,
  "gsu",
);
const IDEOGRAPH = new RegExp(`^${NO_BLANKS}`, "u");

const tokensOf = (text) => text.match(TOKEN) ?? [];

const weightOf = (token) => (IDEOGRAPH.test(token) ? IDEOGRAPH_WEIGHT : token.trim().length);

// Each token as a number, equal numbers for equal words whatever blanks follow them.
function numbered(tokens, numbers) {
  return Int32Array.from(tokens, (token) => {
    const word = token.startsWith("\n") ? token : token.trimEnd();
    if (!numbers.has(word)) numbers.set(word, numbers.size);
    return numbers.get(word);
  });
}

// ---- which words of a and b have no partner: `changed` is set to 1 there ------------------------

function compareWords(a, b) {
  const changed = { a: new Uint8Array(a.length), b: new Uint8Array(b.length) };
  const left = [[0, a.length, 0, b.length]];
  while (left.length) {
    const range = trimmed(a, b, ...left.pop());
    const [aFrom, aTo, bFrom, bTo] = range;
    const pairs = aFrom < aTo && bFrom < bTo ? closePairs(a, b, range) : [];
    if (pairs) markUnpaired(changed, range, pairs);
    else left.push(...gapsBetween(anchors(a, b, range), range, changed));
  }
  return changed;
}

function trimmed(a, b, aFrom, aTo, bFrom, bTo) {
  while (aFrom < aTo && bFrom < bTo && a[aFrom] === b[bFrom]) {
    aFrom += 1;
    bFrom += 1;
  }
  while (aFrom < aTo && bFrom < bTo && a[aTo - 1] === b[bTo - 1]) {
    aTo -= 1;
    bTo -= 1;
  }
  return [aFrom, aTo, bFrom, bTo];
}

function markUnpaired(changed, [aFrom, aTo, bFrom, bTo], pairs) {
  changed.a.fill(1, aFrom, aTo);
  changed.b.fill(1, bFrom, bTo);
  for (const [x, y] of pairs) {
    changed.a[x] = 0;
    changed.b[y] = 0;
  }
}

// The pairs of equal words on a shortest edit path, or null where it takes more than MOST_EDITS.
function closePairs(a, b, [aFrom, aTo, bFrom, bTo]) {
  const n = aTo - aFrom;
  const m = bTo - bFrom;
  const most = Math.min(MOST_EDITS, n + m);
  const reach = new Int32Array(2 * most + 3);
  const trace = [];
  for (let edits = 0; edits <= most; edits += 1) {
    trace.push(reach.slice(most - edits, most + edits + 3));
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && reach[most + k] < reach[most + k + 2]);
      let x = down ? reach[most + k + 2] : reach[most + k] + 1;
      while (x < n && x - k < m && a[aFrom + x] === b[bFrom + x - k]) x += 1;
      reach[most + k + 1] = x;
      if (x >= n && x - k >= m) return pathBack(trace, n, m, aFrom, bFrom);
    }
  }
  return null;
}

// `trace[d]` holds the reach of diagonals -d-1 … d+1 before step d.
function pathBack(trace, n, m, aFrom, bFrom) {
  const pairs = [];
  let [x, y] = [n, m];
  for (let edits = trace.length - 1; edits >= 0; edits -= 1) {
    const reach = trace[edits];
    const k = x - y;
    const at = k + edits + 1;
    const down = k === -edits || (k !== edits && reach[at - 1] < reach[at + 1]);
    const startX = edits === 0 ? 0 : down ? reach[at + 1] : reach[at - 1] + 1;
    while (x > startX) {
      x -= 1;
      y -= 1;
      pairs.push([aFrom + x, bFrom + y]);
    }
    if (down) y -= 1;
    else x -= 1;
  }
  return pairs;
}

// Places [in a, in b] of runs of words that occur once in each range, in the longest order that
// both share: runs of four words if there are any, else single words.
function anchors(a, b, range) {
  for (const length of ANCHOR_LENGTHS) {
    const [aFrom, aTo, bFrom, bTo] = range;
    const inA = placesOfUnique(a, aFrom, aTo, length);
    const inB = placesOfUnique(b, bFrom, bTo, length);
    const shared = [];
    for (const [run, x] of inA) if (x >= 0 && inB.get(run) >= 0) shared.push([x, inB.get(run)]);
    if (shared.length) return longestRising(shared);
  }
  return [];
}

// Each run of `length` words in the range and its place, or -1 where it occurs again.
function placesOfUnique(words, from, to, length) {
  const places = new Map();
  for (let at = from; at + length <= to; at += 1) {
    const run = length === 1 ? words[at] : words.subarray(at, at + length).join();
    places.set(run, places.has(run) ? -1 : at);
  }
  return places;
}

// The longest subsequence whose second members rise (patience sorting).
function longestRising(pairs) {
  const tops = [];
  const before = [];
  pairs.forEach(([, y], index) => {
    let [low, high] = [0, tops.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[tops[middle]][1] < y) low = middle + 1;
      else high = middle;
    }
    before[index] = low ? tops[low - 1] : -1;
    tops[low] = index;
  });
  const chain = [];
  for (let index = tops.at(-1) ?? -1; index >= 0; index = before[index]) chain.push(pairs[index]);
  return chain.reverse();
}

function gapsBetween(pairs, [aFrom, aTo, bFrom, bTo], changed) {
  if (!pairs.length) {
    markUnpaired(changed, [aFrom, aTo, bFrom, bTo], []);
    return [];
  }
  const ends = [[aFrom - 1, bFrom - 1], ...pairs, [aTo, bTo]];
  return ends.slice(1).map(([x, y], index) => [ends[index][0] + 1, x, ends[index][1] + 1, y]);
}

// ---- from words to runs -------------------------------------------------------------------------

// Runs of equal words and of changes in turn, as ranges of places: {same, left: [from, to], right}.
function runsOf(left, right) {
  const numbers = new Map();
  const changed = compareWords(numbered(left, numbers), numbered(right, numbers));
  const runs = [];
  let [x, y] = [0, 0];
  while (x < left.length || y < right.length) {
    const [fromX, fromY] = [x, y];
    const same = x < left.length && y < right.length && !changed.a[x] && !changed.b[y];
    if (same) {
      while (x < left.length && y < right.length && !changed.a[x] && !changed.b[y]) {
        x += 1;
        y += 1;
      }
    } else {
      while (changed.a[x]) x += 1;
      while (changed.b[y]) y += 1;
    }
    runs.push({ same, left: [fromX, x], right: [fromY, y] });
  }
  return runs;
}

// sums[i]: the weight of all tokens before place i.
function weightSums(tokens) {
  const sums = new Int32Array(tokens.length + 1);
  tokens.forEach((token, place) => (sums[place + 1] = sums[place] + weightOf(token)));
  return sums;
}

// Two answers always share "the" and "of"; marking around each would make confetti.
function withoutCoincidences(runs, inLeft, inRight) {
  const within = (sums, [from, to]) => sums[to] - sums[from];
  const weight = (run) => Math.max(within(inLeft, run.left), within(inRight, run.right));
  const kept = [];
  runs.forEach((run, index) => {
    const before = kept.at(-1);
    const after = runs[index + 1];
    const most = before && after ? Math.min(LIGHT_RUN - 1, weight(before), weight(after)) : -1;
    const joins = before && !before.same && (!run.same || weight(run) <= most);
    if (!joins) return kept.push({ ...run });
    before.left = [before.left[0], run.left[1]];
    before.right = [before.right[0], run.right[1]];
  });
  return kept;
}

// The runs of two texts with what they say, and the share of the longer text that both have.
function compared(left, right) {
  const [tokensLeft, tokensRight] = [tokensOf(left), tokensOf(right)];
  const [inLeft, inRight] = [weightSums(tokensLeft), weightSums(tokensRight)];
  const runs = withoutCoincidences(runsOf(tokensLeft, tokensRight), inLeft, inRight);
  const shared = runs.reduce(
    (sum, { same, left: [from, to] }) => sum + (same ? inLeft[to] - inLeft[from] : 0),
    0,
  );
  const whole = Math.max(inLeft.at(-1), inRight.at(-1));
  const said = runs.map((run) => ({
    same: run.same,
    left: tokensLeft.slice(...run.left).join(""),
    right: tokensRight.slice(...run.right).join(""),
  }));
  return { runs: said, alike: whole ? shared / whole : 1 };
}

// ---- what the others call -----------------------------------------------------------------------

// Both texts in pieces {text, changed}, and `alike`: the share of the longer that both have (0…1).
function markDifferences(left, right) {
  const { runs, alike } = compared(left, right);
  const side = (name) =>
    runs.filter((run) => run[name]).map((run) => ({ text: run[name], changed: !run.same }));
  return { left: side("left"), right: side("right"), alike };
}

// What became of `left`, in reading order: pieces {text, kind}, kind "same", "removed" or "added".
function mergeDifferences(left, right) {
  return compared(left, right).runs.flatMap((run) => {
    if (run.same) return [{ text: run.right, kind: "same" }];
    const pieces = [
      { text: run.left, kind: "removed" },
      { text: run.right, kind: "added" },
    ];
    return pieces.filter((piece) => piece.text);
  });
}
