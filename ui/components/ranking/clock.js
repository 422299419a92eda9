// Time on a task, without the time in which the page was not to be seen.

class VisibleClock {
  constructor(milliseconds) {
    this.sum = milliseconds;
    this.since = null;
    this.tick();
  }

  tick() {
    const time = performance.now();
    if (this.since !== null) this.sum += time - this.since;
    this.since = document.visibilityState === "visible" ? time : null;
  }

  get milliseconds() {
    this.tick();
    return Math.round(this.sum);
  }
}
