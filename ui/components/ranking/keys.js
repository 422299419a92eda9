// Which key does what: one table for the keyboard and for the help.

const COMMANDS = [
  { name: "rank", shown: ["1", "…", "9"] },
  { name: "better", shown: ["↑"] },
  { name: "worse", shown: ["↓"] },
  { name: "tie", shown: ["T", "="] },
  { name: "unrank", shown: ["0", "Backspace"] },
  { name: "previous", shown: ["←"] },
  { name: "next", shown: ["→"] },
  { name: "mark", shown: ["Shift + A … I"] },
  { name: "strength", shown: ["Shift + 1 … 4"] },
  { name: "submit", shown: ["Enter"] },
  { name: "layout", shown: ["L"] },
  { name: "differences", shown: ["D"] },
  { name: "open", shown: ["X"] },
  { name: "rewrite", shown: ["W"] },
  { name: "notes", shown: ["N"] },
  { name: "skip", shown: ["S"] },
  { name: "flag", shown: ["F"] },
  { name: "undo", shown: ["U"] },
  { name: "leave", shown: ["Esc"] },
  { name: "help", shown: ["?"] },
];

const NAMED_KEYS = {
  ArrowUp: "better",
  ArrowDown: "worse",
  ArrowLeft: "previous",
  ArrowRight: "next",
  Backspace: "unrank",
  Delete: "unrank",
  Enter: "submit",
  "?": "help",
  "？": "help",
  "=": "tie",
};

const LETTER_KEYS = {
  T: "tie",
  L: "layout",
  D: "differences",
  X: "open",
  W: "rewrite",
  N: "notes",
  S: "skip",
  F: "flag",
  U: "undo",
};

// The letter or digit on a key, whatever script the keyboard writes (Ы is the key of S).
function plainKey({ key, code, shiftKey }) {
  if (/^[\x21-\x7e]$/.test(key) && !/^Digit/.test(code)) return key;
  if (/^Key[A-Z]$/.test(code)) return shiftKey ? code.at(3) : code.at(3).toLowerCase();
  if (/^(Digit|Numpad)\d$/.test(code) && !shiftKey) return code.at(-1);
  return key;
}

// What a key press asks for: {name, value}, or null. A letter with Shift marks a completion; a
// small letter that is no command does, too.
function commandOf(event, count) {
  if (Object.hasOwn(NAMED_KEYS, event.key)) return { name: NAMED_KEYS[event.key] };
  const key = plainKey(event);
  if (event.shiftKey && /^Digit[1-4]$/.test(event.code) && count === 2)
    return { name: "strength", value: Number(event.code.at(-1)) };
  if (/^[1-9]$/.test(key) && Number(key) <= count) return { name: "rank", value: Number(key) };
  if (key === "0") return { name: "unrank" };
  if (!/^[a-zA-Z]$/.test(key)) return null;
  const letter = key.toUpperCase();
  const place = letter.charCodeAt(0) - 65;
  const command = LETTER_KEYS[letter];
  if (place < count && (event.shiftKey || !command)) return { name: "mark", value: place };
  return command ? { name: command } : null;
}
