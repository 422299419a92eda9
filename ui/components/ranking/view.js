// Building and painting: every text from outside goes through textContent, never through HTML.

function el(tag, attributes = {}, children = []) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const ROLE_NAMES = { user: "User", assistant: "Assistant", system: "System", tool: "Tool" };

function promptSection(messages) {
  const single = messages.length === 1 && messages[0].role === "user";
  const rows = messages.map((message) =>
    el("div", { class: `message ${message.role === "assistant" ? "from-model" : ""}` }, [
      el("h3", { text: single ? "Prompt" : (ROLE_NAMES[message.role] ?? message.role) }),
      el("div", { class: "text", text: message.content }),
    ]),
  );
  return el("section", { class: "prompt", "aria-label": "Prompt" }, rows);
}

function rankButtons(count, place) {
  return Array.from({ length: count }, (_, index) =>
    el("button", {
      class: "rank",
      type: "button",
      text: String(index + 1),
      "data-rank": String(index + 1),
      "aria-label": `Rank completion ${letterOf(place)} as ${index + 1}`,
      "aria-pressed": "false",
    }),
  );
}

function cardOf(text, place, count) {
  const letter = letterOf(place);
  const head = el("header", { class: "grab", title: "Drag onto a rank" }, [
    el("span", { class: "grip", "aria-hidden": "true" }),
    el("span", { class: "letter", text: letter }),
    el("span", { class: "ranks", role: "group", "aria-label": `Rank of ${letter}` },
      rankButtons(count, place)),
  ]);
  const empty = text.trim() === "";
  const body = el("div", { class: empty ? "text empty" : "text" });
  body.textContent = empty ? "(empty completion)" : text;
  const more = el("button", { class: "quiet more", type: "button", text: "Show all" });
  more.hidden = true;
  return el("article", { class: "card", tabindex: "0", "data-place": String(place) },
    [head, body, more]);
}

function lanesOf(count) {
  return Array.from({ length: count }, (_, index) => {
    const rank = index + 1;
    const word = rank === 1 ? "best" : rank === count ? "worst" : "";
    const title = el("span", { class: "lane-title" }, [
      el("b", { text: String(rank) }),
      el("span", { text: word }),
    ]);
    return el("div", { class: "lane", "data-rank": String(rank), role: "group",
      "aria-label": `Rank ${rank} ${word}`.trim() }, [title, el("div", { class: "chips" })]);
  });
}

function toolbarOf() {
  const button = (name, text, key) =>
    el("button", { class: `quiet tool ${name}`, type: "button" }, [
      el("span", { text }),
      el("kbd", { text: key, "aria-hidden": "true" }),
    ]);
  return el("div", { class: "toolbar" }, [
    el("span", { class: "counts", role: "status" }),
    el("span", { class: "tools" }, [
      button("undo", "Undo last", "U"),
      button("skip", "Skip", "S"),
      button("help", "Keys", "?"),
    ]),
  ]);
}

function newsOf(news, onDismiss) {
  const noun = news.judgments === 1 ? "judgment" : "judgments";
  const text = `The model has learned from ${news.judgments} of your ${noun}.`;
  const dismiss = el("button", { class: "quiet", type: "button", text: "Dismiss" });
  dismiss.addEventListener("click", onDismiss);
  return el("div", { class: "news", role: "status" }, [el("span", { text }), dismiss]);
}
