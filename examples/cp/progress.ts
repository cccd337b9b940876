/** A bar on the terminal: how much is copied, how fast, how long it will take. */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";

/** A short copy needs no bar. */
const QUIET_MS = 500;
const REDRAW_MS = 100;
const BAR_COLUMNS = 24;

/** Counts what is copied; on a terminal it shows it, elsewhere it is silent. */
export class Progress {
  /** Whether anybody sees it. */
  readonly shown: boolean = isatty(2);
  readonly #began: number = performance.now();
  #drawnAt = this.#began + QUIET_MS - REDRAW_MS;
  #visible = false;
  #total = 0;
  #copied = 0;
  #files = 0;
  #counted = false;

  /** A file of so many bytes is to be copied. */
  expect(bytes: number): void {
    this.#total += bytes;
    this.#files++;
  }

  /** All that is to be copied has been expected. */
  counted(): void {
    this.#counted = true;
  }

  /** So many bytes more have been copied. */
  copied(bytes: number): void {
    this.#copied += bytes;
  }

  /** Draws the bar anew if it is time to. */
  draw(): void {
    if (!this.shown || performance.now() - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = performance.now();
    this.#visible = true;
    write(`\r${this.#line()}\x1b[K`);
  }

  /** Takes the bar away, so that something else can be written. */
  clear(): void {
    if (this.#visible) write("\r\x1b[K");
    this.#visible = false;
  }

  /** Leaves the last state where the bar was, if there was one. */
  finish(): void {
    if (this.#visible) write(`\r${this.#line()}\x1b[K\n`);
    this.#visible = false;
  }

  #line(): string {
    const seconds = (performance.now() - this.#began) / 1000;
    const rate = this.#copied / seconds;
    // A file that grows while it is copied is more than was expected.
    const total = Math.max(this.#total, this.#copied);
    const part = total === 0 ? 1 : this.#copied / total;
    const filled = Math.floor(part * BAR_COLUMNS);
    const bar = "#".repeat(filled).padEnd(BAR_COLUMNS, "-");
    const left = this.#copied === 0 || !this.#counted ? "-:--" : clock((total - this.#copied) / rate);
    const files = this.#files === 1 ? "" : `${this.#files} files, `;
    return `${files}${size(this.#copied)} of ${size(total)} [${bar}] ${size(rate)}/s, ${left} left`;
  }
}

function write(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // A bar that cannot be drawn is no reason to stop copying.
  }
}

/** Bytes in the largest unit that leaves a number before the point. */
function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  return `${(bytes / 1024 ** unit).toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

/** Seconds as minutes and seconds, or hours, minutes and seconds. */
function clock(seconds: number): string {
  const whole = Math.ceil(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}
