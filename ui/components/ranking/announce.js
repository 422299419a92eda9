// What a screen reader is told after a change: "B is now first, tied with C."

function listed(letters, words) {
  return new Intl.ListFormat(words.language || "en", { type: "conjunction" }).format(letters);
}

function standingOf(ranks, place) {
  const groups = groupsOf(ranks);
  const at = groups.findIndex((group) => group.includes(place));
  return { at, others: at < 0 ? [] : groups[at].filter((other) => other !== place) };
}

function saidOfChange(ranks, place, words) {
  const letter = letterOf(place);
  const { at, others } = standingOf(ranks, place);
  if (at < 0) return say(words, "said.unranked", { letter });
  const values = { letter, ordinal: say(words, `ordinal.${at + 1}`) };
  const first = others.length
    ? say(words, "said.tied", { ...values, others: listed(others.map(letterOf), words) })
    : say(words, "said.alone", values);
  const left = unrankedPlaces(ranks).map(letterOf);
  const rest = left.length
    ? say(words, "said.left", { letters: listed(left, words) })
    : say(words, "said.complete");
  return `${first} ${rest}`;
}
