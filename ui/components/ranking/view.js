// Building the page's parts. Every text from outside goes through textContent, never through HTML.

function el(tag, attributes = {}, children = []) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// A small drawing: one path in a box of 16 × 16, in the colour of the text.
function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  for (const [name, value] of [["viewBox", "0 0 16 16"], ["class", "icon"], ["aria-hidden", "true"]])
    svg.setAttribute(name, value);
  svg.append(line);
  return svg;
}

const kbd = (key) => el("kbd", { text: key, "aria-hidden": "true" });

function textBody(text) {
  const body = el("div", { class: "text", dir: "auto" });
  fillText(body, text);
  return body;
}

const ROLES = ["user", "assistant", "system", "tool"];

function promptSection(messages, words) {
  const single = messages.length === 1 && messages[0].role === "user";
  const nameOf = (role) => (ROLES.includes(role) ? say(words, `role.${role}`) : role);
  const rows = messages.map(({ role, content }) =>
    el("div", { class: `message from-${role === "assistant" ? "model" : "person"}` }, [
      el("h3", { text: single ? say(words, "prompt.label") : nameOf(role) }),
      textBody(content),
    ]),
  );
  return el("section", { class: "prompt", "aria-label": say(words, "prompt.label") }, rows);
}

// Only one of a card's numbers is a stop of the Tab key; the arrows go through the others.
function rankButtons(count, place, words) {
  const letter = letterOf(place);
  return Array.from({ length: count }, (_, index) =>
    el("button", {
      class: "rank",
      type: "button",
      text: String(index + 1),
      "data-rank": String(index + 1),
      "aria-label": say(words, "card.give", { letter, rank: index + 1 }),
      "aria-pressed": "false",
      tabindex: index ? "-1" : "0",
    }),
  );
}

const MOVES = [
  ["better", "M8 13V3M3.5 7.5 8 3l4.5 4.5"],
  ["tie", "M3 6h10M3 10h10"],
  ["worse", "M8 3v10M3.5 8.5 8 13l4.5-4.5"],
];

// For fingers: three large buttons instead of the arrow keys.
function moveButtons(place, words) {
  const letter = letterOf(place);
  const buttons = MOVES.map(([name, path]) =>
    el(
      "button",
      {
        class: "move",
        type: "button",
        "data-move": name,
        "aria-label": say(words, `card.${name}`, { letter }),
      },
      [icon(path)],
    ),
  );
  return el("span", { class: "moves" }, buttons);
}

function cardHead(place, count, words) {
  const letter = letterOf(place);
  return el("header", { class: "grab" }, [
    el("span", { class: "handle", title: say(words, "card.drag") }, [
      el("span", { class: "grip", "aria-hidden": "true" }),
      el("span", { class: "letter", text: letter }),
    ]),
    moveButtons(place, words),
    el(
      "span",
      {
        class: "ranks",
        role: "group",
        "aria-label": say(words, "card.ranks", { letter }),
        style: `--count: ${count}`,
      },
      rankButtons(count, place, words),
    ),
  ]);
}

function cardOf(text, place, count, words, rewrites) {
  const empty = text.trim() === "";
  const body = textBody(empty ? say(words, "card.empty") : text);
  body.classList.toggle("empty", empty);
  const more = el("button", { class: "quiet more", type: "button", "aria-expanded": "false" });
  more.textContent = say(words, "card.more");
  more.hidden = true;
  const foot = [more];
  if (rewrites) {
    const letter = letterOf(place);
    foot.push(
      el("button", {
        class: "quiet rewrite",
        type: "button",
        text: say(words, "card.rewrite"),
        "aria-label": say(words, "card.rewrite.of", { letter }),
      }),
    );
  }
  return el("article", { class: "card", tabindex: "0", "data-place": String(place) }, [
    cardHead(place, count, words),
    body,
    el("footer", { class: "card-foot" }, foot),
  ]);
}

function lanesOf(count, words) {
  return Array.from({ length: count }, (_, index) => {
    const rank = index + 1;
    const end = rank === 1 ? say(words, "rail.best") : rank === count ? say(words, "rail.worst") : "";
    const title = el("span", { class: "lane-title" }, [
      el("b", { text: String(rank) }),
      el("span", { text: end }),
    ]);
    return el(
      "div",
      {
        class: "lane",
        "data-rank": String(rank),
        role: "group",
        "aria-label": `${say(words, "rail.lane", { rank })} ${end}`.trim(),
      },
      [title, el("div", { class: "chips" })],
    );
  });
}

function chipOf(place, words) {
  const letter = letterOf(place);
  return el("button", {
    class: "chip",
    type: "button",
    text: letter,
    "data-place": String(place),
    "aria-label": say(words, "card.go", { letter }),
  });
}

// One completion at a time: a row of letters with their ranks.
function tabsOf(count, words) {
  const tabs = Array.from({ length: count }, (_, place) =>
    el("button", { class: "tab", type: "button", "data-place": String(place) }, [
      el("b", { text: letterOf(place) }),
      el("span", { class: "tab-rank" }),
    ]),
  );
  return el("nav", { class: "tabs", "aria-label": say(words, "layout.tabs") }, tabs);
}

function railOf(lanes, words) {
  const status = el("div", { class: "words" });
  const button = el("button", { class: "primary submit", type: "button" }, [
    el("span", { text: say(words, "submit") }),
    kbd("Enter"),
  ]);
  const rail = el("section", { class: "rail", "aria-label": say(words, "rail.label") }, [
    el("div", { class: "lanes", style: `--count: ${lanes.length}` }, lanes),
    el("div", { class: "foot" }, [status, button]),
  ]);
  return { rail, status, button };
}
