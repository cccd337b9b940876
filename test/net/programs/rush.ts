// A Worker that connects over and over, sends a byte and is gone at once, at moments that the other thread names: rush.ts
// is told where to, how it goes, how often, and two words of shared memory, which are written in turn.
import { connect } from "node:net";

declare const self: Worker;

/** What the Worker is told. */
export interface Rush {
  readonly to: { readonly port: number; readonly host: string } | { readonly path: string };
  readonly how: "end" | "reset";
  readonly rounds: number;
  /** The first is the Worker's: how often it is connected, and gone. The second is the other's: for which round it looks away. */
  readonly words: SharedArrayBuffer;
}

const {
  to,
  how,
  rounds,
  words: shared,
} = await new Promise<Rush>((resolve) => {
  self.onmessage = ({ data }: MessageEvent<Rush>) => resolve(data);
});
const words = new Int32Array(shared);

/** Tells the other thread how far this one is. */
function tell(step: number): void {
  // Ordering: what was done to the socket is done when the other thread sees the number.
  Atomics.store(words, 0, step);
}

/** For which round the other thread looks away. */
function awayFor(): number {
  // Ordering: it is busy with nothing else once it has said so.
  return Atomics.load(words, 1);
}

for (let round = 1; round <= rounds; round++) {
  await new Promise<void>((resolve) => {
    const socket = connect(to, () => {
      socket.setNoDelay(true);
      tell(round * 2 - 1);
      while (awayFor() !== round);
      socket.write("x");
      if (how === "reset") socket.resetAndDestroy();
      else socket.end();
      tell(round * 2);
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
  });
}
