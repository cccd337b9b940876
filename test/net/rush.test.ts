/** The end of a connection that comes together with its last data, while the receiving thread looks at neither. */
import { expect, test } from "bun:test";
import { listen } from "../../src/net/index.ts";
import { patience } from "../support/patience.ts";
import { Rusher } from "../support/rush.ts";

const ROUNDS = 20;

test.each(["end", "reset"] as const)(
  "%s is seen",
  async (how) => {
    const counts = { open: 0, data: 0, close: 0 };
    const { promise: over, resolve } = Promise.withResolvers<void>();
    using listener = listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: () => void counts.open++,
        data: () => void counts.data++,
        close: () => void (++counts.close === ROUNDS && resolve()),
        error: () => undefined,
      },
    });
    using rusher = new Rusher({ port: listener.port, host: "127.0.0.1" }, how, ROUNDS);
    for (let round = 1; round <= ROUNDS; round++) {
      await rusher.connected(round);
      while (counts.open < round) await Bun.sleep(1);
      // It is received from when the loop has had its turn.
      await Bun.sleep(1);
      rusher.lookAway(round);
    }
    await Promise.race([over, Bun.sleep(2000 * patience)]);
    expect(counts).toEqual({ open: ROUNDS, data: ROUNDS, close: ROUNDS });
  },
  20_000 * patience,
);
