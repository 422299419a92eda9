// The row above the task: own counts, the layout, the differences, and what else can be done.

const LAYOUT_ICONS = {
  "side-by-side": "M2.5 3h4.5v10H2.5zM9 3h4.5v10H9z",
  stacked: "M2.5 3h11v4h-11zM2.5 9h11v4h-11z",
  focus: "M2.5 3h11v10h-11z",
};

function layoutSwitch(words) {
  const buttons = LAYOUTS.map((name) => {
    const label = say(words, `layout.${name}`);
    return el(
      "button",
      { type: "button", "data-layout": name, "aria-label": label, title: label },
      [icon(LAYOUT_ICONS[name])],
    );
  });
  const label = say(words, "layout.label");
  return el("span", { class: "layouts", role: "group", "aria-label": label }, buttons);
}

function toolbarOf(words, page) {
  const tool = (name, key) =>
    el("button", { class: `quiet tool ${name}`, type: "button" }, [
      el("span", { text: say(words, `toolbar.${name}`) }),
      kbd(key),
    ]);
  const differences = tool("differences", "D");
  differences.setAttribute("aria-pressed", "false");
  const tools = [tool("undo", "U"), tool("skip", "S")];
  if (page.flags?.length) tools.push(tool("flag", "F"));
  tools.push(tool("help", "?"));
  return el("div", { class: "toolbar" }, [
    el("span", { class: "counts" }),
    el("span", { class: "views" }, [layoutSwitch(words), differences]),
    el("span", { class: "tools" }, tools),
  ]);
}

// Which two are compared, and what the marks mean.
function differenceBar(count, words) {
  const pick = (name) => {
    const options = Array.from({ length: count }, (_, place) =>
      el("option", { value: String(place), text: letterOf(place) }),
    );
    return el("select", { class: `pick ${name}`, "aria-label": say(words, `differences.${name}`) }, options);
  };
  const bar = el("div", { class: "difference-bar", hidden: "" }, [
    el("span", { text: say(words, "differences.between") }),
    pick("left"),
    el("span", { text: say(words, "differences.and") }),
    pick("right"),
    el("span", { class: "legend" }, [el("mark", { class: "differs", text: say(words, "differences.legend") })]),
    el("span", { class: "alike" }),
  ]);
  return bar;
}

function bannerOf(text, words, onDismiss, kind = "news") {
  const dismiss = el("button", { class: "quiet", type: "button", text: say(words, "news.dismiss") });
  dismiss.addEventListener("click", onDismiss);
  return el("div", { class: `banner ${kind}` }, [el("span", { text }), dismiss]);
}
