// The interface's texts: one flat object, key to text, chosen by the server (ui/languages).

const PLURALS = new Map();

// CLDR's form for a number in a language: "one", "few", "other" …
function pluralForm(language, count) {
  if (!PLURALS.has(language)) PLURALS.set(language, new Intl.PluralRules(language || "en"));
  return PLURALS.get(language).select(count);
}

// The text of `key` with `values` in its {places}; "key#one", "key#other" are forms for a count.
// A key without a text is shown as it is: a gap in a language never empties a button.
function say(words, key, values = {}) {
  const form = typeof values.count === "number" ? pluralForm(words.language, values.count) : "other";
  const text = words[`${key}#${form}`] ?? words[`${key}#other`] ?? words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (place, name) =>
    Object.hasOwn(values, name) ? String(values[name]) : place,
  );
}
