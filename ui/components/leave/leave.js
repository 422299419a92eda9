// Leaves by a form. At a sign-out, what this browser has kept of the account's texts is deleted: the
// next person may sit at the same machine. What nobody has saved is not deleted unasked.

function textsOf(owner) {
  const written = `rankloop:writing:${owner}`;
  const typed = `rankloop:unsaved:${owner}:`;
  try {
    return Object.keys(localStorage).filter((name) => name === written || name.startsWith(typed));
  } catch {
    return []; // Storage is forbidden: nothing is kept.
  }
}

function isUnsaved(name) {
  const kept = JSON.parse(localStorage.getItem(name) ?? "null");
  return name.startsWith("rankloop:unsaved:") || Boolean(kept?.prompt?.trim() || kept?.answer?.trim());
}

function forget(names) {
  names.forEach((name) => localStorage.removeItem(name));
  try {
    // The database has the drafts of rankings.
    const drafts = Object.keys(sessionStorage).filter((name) => name.startsWith("rankloop:draft:"));
    drafts.forEach((name) => sessionStorage.removeItem(name));
  } catch {}
}

function send(form, { path, method, fields }) {
  form.method = method;
  form.action = path;
  for (const [name, value] of Object.entries(fields)) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name, value });
    form.appendChild(field);
  }
  form.submit();
}

function button(text, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  made.addEventListener("click", act);
  return made;
}

function ask(form, words, { leave, stay }) {
  const title = Object.assign(document.createElement("h1"), { textContent: words.title });
  const question = Object.assign(document.createElement("p"), { textContent: words.question });
  form.replaceChildren(title, question, button(words.stay, stay), button(words.leave, leave));
  form.querySelector("button").focus();
}

export default function ({ data, parentElement }) {
  const form = parentElement.querySelector("form");
  if (data.owner === undefined) return send(form, data);
  const texts = textsOf(data.owner);
  const leave = () => {
    forget(texts);
    send(form, data);
  };
  if (!texts.some(isUnsaved)) return leave();
  ask(form, data.words, { leave, stay: () => location.assign("/") });
}
