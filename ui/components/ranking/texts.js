// Text of a model or a person, shown exactly as it is: textContent only, every character kept.
// Fenced code stands in blocks of its own; long texts are cut into pieces that the browser lays
// out only when they come into view; a difference is a range of characters.

const PIECE_CHARACTERS = 4000;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;

// Ranges {start, end, code} that cover the text: fenced code with its fences, and the rest.
function blocksOf(text) {
  const blocks = [];
  let start = 0;
  let fence = null;
  const close = (end, code) => {
    if (end > start) blocks.push({ start, end, code });
    start = end;
  };
  for (let at = 0; at < text.length; ) {
    const next = text.indexOf("\n", at);
    const end = next < 0 ? text.length : next + 1;
    const mark = text.slice(at, Math.min(end, at + 200)).match(FENCE)?.[1];
    if (!fence && mark) {
      close(at, false);
      fence = mark;
    } else if (fence && mark?.startsWith(fence) && text.slice(at, end).trim() === mark) {
      close(end, true);
      fence = null;
    }
    at = end;
  }
  close(text.length, fence !== null);
  return blocks;
}

// Cut a block at line ends (a line without end: anywhere) into pieces of a few thousand characters.
function piecesOf(text, { start, end }) {
  const pieces = [];
  while (end - start > PIECE_CHARACTERS * 1.5) {
    const line = text.indexOf("\n", start + PIECE_CHARACTERS);
    if (line < 0 || line + 1 >= end) break;
    pieces.push({ start, end: line + 1 });
    start = line + 1;
  }
  return [...pieces, { start, end }];
}

// The nodes of text[start … end], with `marks` ({start, end}, in order) wrapped.
function nodesOf(text, { start, end }, marks, markClass) {
  const nodes = [];
  let at = start;
  for (const mark of marks) {
    const from = Math.max(mark.start, at);
    const to = Math.min(mark.end, end);
    if (from >= to) continue;
    if (from > at) nodes.push(text.slice(at, from));
    nodes.push(el("mark", { class: markClass, text: text.slice(from, to) }));
    at = to;
  }
  if (at < end) nodes.push(text.slice(at, end));
  return nodes;
}

function fillText(body, text, marks = [], markClass = "") {
  const children = blocksOf(text).flatMap((block) => {
    const pieces = piecesOf(text, block);
    return pieces.map((piece) => {
      const inside = marks.filter((mark) => mark.start < piece.end && mark.end > piece.start);
      const attributes = { class: pieces.length > 1 ? "piece" : "block" };
      if (block.code) attributes.dir = "ltr";
      return el(block.code ? "pre" : "div", attributes, nodesOf(text, piece, inside, markClass));
    });
  });
  body.replaceChildren(...children);
}
