// Posting an event to an address that answers it without a run of the page: sooner, and with a tenth
// of the server's work.

const DIRECT_EVENTS = ["submit", "skip", "flag", "draft", "beat", "rewrite"];
const DIRECT_PATIENCE_MS = 6000;
// Browsers send this much, and no more, for a page that is being left.
const MOST_KEPT_ALIVE = 60000;

// { data }: what the component shows next; without it the event must go by the page. Null where no
// answer came at all.
async function answerTo(path, event, value) {
  const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  const body = JSON.stringify({ event, value, timezone });
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      cache: "no-store",
      redirect: "error",
      keepalive: event === "draft" && body.length < MOST_KEPT_ALIVE,
      signal: AbortSignal.timeout(DIRECT_PATIENCE_MS),
    });
    return answer.ok ? await answer.json() : {};
  } catch {
    return null;
  }
}
