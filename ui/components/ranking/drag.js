// Dragging by pointer events, so that mouse, pen and finger are one thing.

const DRAG_THRESHOLD_PX = 6;

const within = (box, x, y) => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;

// Let `handle` be dragged onto one of `lanes()`; `drop(rank)` gets 0 when let go outside the rail.
function makeDraggable(handle, { shadow, label, lanes, rail, allowed, drop }) {
  let origin = null;
  let ghost = null;

  const laneAt = (x, y) => lanes().find((lane) => within(lane.getBoundingClientRect(), x, y));

  const stop = () => {
    ghost?.remove();
    ghost = null;
    origin = null;
    lanes().forEach((lane) => lane.classList.remove("over"));
    rail().classList.remove("dragging");
  };

  const begin = () => {
    ghost = document.createElement("div");
    ghost.className = "ghost";
    ghost.textContent = label;
    shadow.appendChild(ghost);
    rail().classList.add("dragging");
  };

  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button:not(.chip)") || !allowed()) return;
    origin = { x: event.clientX, y: event.clientY };
    handle.setPointerCapture(event.pointerId);
  });

  handle.addEventListener("pointermove", (event) => {
    if (!origin) return;
    const moved = Math.hypot(event.clientX - origin.x, event.clientY - origin.y);
    if (!ghost && moved < DRAG_THRESHOLD_PX) return;
    if (!ghost) begin();
    ghost.style.transform = `translate(${event.clientX}px, ${event.clientY}px)`;
    const target = laneAt(event.clientX, event.clientY);
    lanes().forEach((lane) => lane.classList.toggle("over", lane === target));
  });

  handle.addEventListener("pointerup", (event) => {
    const dragged = ghost !== null;
    const lane = laneAt(event.clientX, event.clientY);
    const outside = !within(rail().getBoundingClientRect(), event.clientX, event.clientY);
    stop();
    if (!dragged) return;
    if (lane) drop(Number(lane.dataset.rank));
    else if (outside && handle.classList.contains("chip")) drop(0);
  });

  handle.addEventListener("pointercancel", stop);
  handle.addEventListener("lostpointercapture", stop);
}
