// Bytes of JavaScript heap per operation: zero is the promise. Two cases that do allocate show that the scale works.
// The assertion is in test/; here the figures are reported.

import { type Bench, bun, type Goal, main, type Options, output, type Report, stop } from "./harness.ts";
import { launchPlain } from "./servers.ts";

const controls: Readonly<Record<string, string>> = {
  object: "control: an object kept per operation",
  bigint: "control: userDataBigInt per completion",
};

const cases: Readonly<Record<string, string>> = {
  prep: "prepNop().userData()",
  prepRead: "prepRead(...).userData(past 2^32)",
  submit: "submit, 64 at a time",
  reap: "submitAndWait, peekCqe and nextCqe, 64 at a time",
  forEach: "submitAndWait, forEachCqe, 64 at a time",
  recv: "send, multishot receive, take and recycle the buffer",
  tickets: "Tickets.take, submitAndWait, Tickets.give",
};

/** The benchmark for the registry. */
export const alloc: Bench = {
  name: "alloc",
  about: "bytes of JavaScript heap per operation",
  async run(options: Options): Promise<Report> {
    const rows: Report["rows"][number][] = [];
    const goals: Goal[] = [];
    const echo = await launchPlain("Bun.listen", bun("echolisten", "bun"));
    try {
      for (const [name, label] of Object.entries({ ...controls, ...cases })) {
        const args = [name, options.smoke ? "1" : "5", echo.where];
        const bytes = Number(await output(bun("alloc", ...args), 60_000));
        rows.push({ label, bytes });
        const isControl = name in controls;
        if (isControl && !(bytes > 16)) throw new Error(`Cannot trust the scale: ${label} shows ${bytes} bytes`);
        if (!isControl) goals.push({ what: label, got: bytes, limit: 0, atMost: true });
      }
    } finally {
      await stop(echo.child);
    }
    return {
      name: "alloc",
      title: "bytes of JavaScript heap per operation (method: growth of the heap's capacity between collections)",
      columns: [
        { key: "label", head: "operation" },
        { key: "bytes", head: "bytes / op", digits: 1 },
      ],
      rows,
      goals,
      notes: [],
    };
  },
};

if (import.meta.main) await main([alloc]);
