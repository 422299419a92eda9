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
  const { at, others } = standingOf(ranks, place);
  const values = { letter: letterOf(place), ordinal: say(words, `ordinal.${at + 1}`) };
  const key = at < 0 ? "said.unranked" : others.length ? "said.tied" : "said.alone";
  const first = say(words, key, { ...values, others: listed(others.map(letterOf), words) });
  const left = unrankedPlaces(ranks).map(letterOf);
  const rest = left.length
    ? say(words, "said.left", { letters: listed(left, words) })
    : say(words, "said.complete");
  return `${first} ${rest}`;
}
