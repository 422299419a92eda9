// Dragging by pointer events, so that mouse, pen and finger are one thing.

const DRAG_THRESHOLD_PX = 6;

const within = (box, x, y) => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;

// A finger scrolls the page from anywhere but the handle; a mouse may drag the whole head.
const mayDrag = (event) =>
  event.button === 0 &&
  event.isPrimary &&
  !event.target.closest("button:not(.chip)") &&
  (event.pointerType === "mouse" || event.target.closest(".handle, .chip"));

// Let `handle` be dragged onto one of `lanes()`; `drop(rank)` gets 0 when let go outside the rail.
class Dragging {
  constructor(handle, options) {
    Object.assign(this, options, { handle, origin: null, ghost: null });
    handle.addEventListener("pointerdown", (event) => this.down(event));
    handle.addEventListener("pointermove", (event) => this.move(event));
    handle.addEventListener("pointerup", (event) => this.up(event));
    handle.addEventListener("pointercancel", () => this.stop());
    handle.addEventListener("lostpointercapture", () => this.stop());
    handle.addEventListener("dragstart", (event) => event.preventDefault());
  }

  down(event) {
    if (!mayDrag(event) || !this.allowed()) return;
    this.origin = { x: event.clientX, y: event.clientY };
    this.handle.setPointerCapture(event.pointerId);
  }

  move({ clientX, clientY }) {
    if (!this.origin) return;
    const moved = Math.hypot(clientX - this.origin.x, clientY - this.origin.y);
    if (!this.ghost && moved < DRAG_THRESHOLD_PX) return;
    if (!this.ghost) this.begin();
    this.ghost.style.transform = `translate(${clientX}px, ${clientY}px)`;
    const target = this.laneAt(clientX, clientY);
    this.lanes().forEach((lane) => lane.classList.toggle("over", lane === target));
  }

  up({ clientX, clientY }) {
    const dragged = this.ghost !== null;
    const lane = this.laneAt(clientX, clientY);
    const outside = !within(this.rail().getBoundingClientRect(), clientX, clientY);
    this.stop();
    if (!dragged) return;
    if (lane) this.drop(Number(lane.dataset.rank));
    else if (outside && this.handle.classList.contains("chip")) this.drop(0);
  }

  begin() {
    this.ghost = el("div", { class: "ghost", text: this.label });
    this.root().append(this.ghost);
    this.rail().classList.add("dragging");
    this.onEscape = (event) => {
      if (event.key !== "Escape") return;
      event.stopImmediatePropagation();
      this.stop();
    };
    window.addEventListener("keydown", this.onEscape, true);
  }

  stop() {
    this.origin = null;
    if (!this.ghost) return;
    this.ghost.remove();
    this.ghost = null;
    window.removeEventListener("keydown", this.onEscape, true);
    this.lanes().forEach((lane) => lane.classList.remove("over"));
    this.rail().classList.remove("dragging");
  }

  laneAt(x, y) {
    return this.lanes().find((lane) => within(lane.getBoundingClientRect(), x, y));
  }
}
