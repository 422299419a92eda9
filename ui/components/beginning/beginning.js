// A page that shows another subject than before is scrolled back to where that begins.

const SUBJECTS = new WeakMap();
// The bar at the top of the page, and some air.
const COVERED_PX = 72;

export default function ({ data, parentElement }) {
  const before = SUBJECTS.get(parentElement);
  SUBJECTS.set(parentElement, data.subject);
  if (before === undefined || before === data.subject) return;
  const place = parentElement.host ?? parentElement;
  if (place.getBoundingClientRect().top >= COVERED_PX) return;
  place.style.scrollMarginTop = `${COVERED_PX}px`;
  place.scrollIntoView({ block: "start" });
}
