// Two fields whose texts are kept in this browser at every key press, and sent once: the nonce
// stays until the server says that it has them.

const FORMS = new WeakMap();
const FIELDS = ["prompt", "answer"];

function newNonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Storage may be full or forbidden (private windows): what it keeps is a comfort, no condition.
function kept(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null") ?? {};
  } catch {
    return {};
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {}
}

class Writing {
  constructor(root) {
    this.form = root.querySelector(".writing");
  }

  show(data) {
    this.data = data;
    this.key = `rankloop:writing:${data.owner}`;
    if (!this.areas) this.build();
    if (data.done && data.done === this.state.nonce) this.empty();
    const refused = data.refusal && data.refusal.id !== this.refused;
    if (refused) {
      this.refused = data.refusal.id;
      this.problem.textContent = data.refusal.text;
    }
    if (refused || data.done !== this.done) this.sending = false;
    this.done = data.done;
    this.paint();
  }

  build() {
    this.state = { prompt: "", answer: "", nonce: newNonce(), ...kept(this.key) };
    this.areas = FIELDS.map((name) => this.area(name));
    this.problem = document.createElement("p");
    this.problem.className = "problem";
    this.problem.setAttribute("role", "alert");
    this.button = document.createElement("button");
    this.button.type = "submit";
    this.form.append(this.problem, this.button);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  area(name) {
    const label = document.createElement("label");
    const area = document.createElement("textarea");
    label.htmlFor = area.id = `write-${name}`;
    label.textContent = this.data.words[`write.${name}`];
    Object.assign(area, { name, rows: name === "prompt" ? 6 : 8, dir: "auto" });
    area.value = this.state[name];
    area.addEventListener("input", () => {
      this.state[name] = area.value;
      keep(this.key, this.state);
      this.problem.textContent = "";
      this.paint();
    });
    this.form.append(label, area);
    return area;
  }

  empty() {
    this.state = { prompt: "", answer: "", nonce: newNonce() };
    keep(this.key, this.state);
    this.areas.forEach((area) => (area.value = ""));
    this.areas[0].focus();
  }

  send() {
    if (this.sending || !this.state.prompt.trim()) return;
    this.sending = true;
    clearTimeout(this.patience);
    // Unanswered, it can be sent again: the same nonce is stored once.
    this.patience = setTimeout(() => {
      this.sending = false;
      this.paint();
    }, 8000);
    this.post("write", { ...this.state });
    this.paint();
  }

  paint() {
    this.button.textContent = this.data.words["write.send"];
    this.button.disabled = this.sending || !this.state.prompt.trim();
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  let writing = FORMS.get(parentElement);
  if (!writing) FORMS.set(parentElement, (writing = new Writing(parentElement)));
  writing.post = setTriggerValue;
  writing.show(data);
}
