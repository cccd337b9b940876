// Tickets: contexts found by number, and numbers that are good for one use.
import { describe, expect, test } from "bun:test";
import { Ring, Tickets } from "../../src/index.ts";

describe("Tickets", () => {
  test("finds a context by its ticket until it is given back, and never again", () => {
    const tickets = new Tickets<string>(4);
    const ticket = tickets.take("first");
    expect(Number.isSafeInteger(ticket)).toBe(true);
    expect(ticket).toBeGreaterThan(0);
    expect([tickets.peek(ticket), tickets.has(ticket), tickets.size]).toEqual(["first", true, 1]);
    expect(tickets.replace(ticket, "second")).toBe(true);
    expect(tickets.give(ticket)).toBe("second");
    expect([tickets.peek(ticket), tickets.has(ticket), tickets.size]).toEqual([undefined, false, 0]);
    expect(tickets.give(ticket)).toBeUndefined();
    expect(tickets.replace(ticket, "third")).toBe(false);
    expect(tickets.size).toBe(0);
  });

  test("a stale ticket never names the slot's next context, however often the slot is used", () => {
    const tickets = new Tickets<number>(1);
    const stale = tickets.take(-1);
    tickets.give(stale);
    const seen = new Set([stale]);
    for (let i = 0; i < 10_000; i++) {
      const ticket = tickets.take(i);
      expect(seen.has(ticket)).toBe(false);
      seen.add(ticket);
      if (tickets.peek(stale) !== undefined || tickets.peek(ticket) !== i) throw new Error(`mixed up at ${i}`);
      expect(tickets.give(ticket)).toBe(i);
    }
  });

  test("undefined is a context like any other", () => {
    const tickets = new Tickets<undefined>(2);
    const ticket = tickets.take(undefined);
    expect(tickets.has(ticket)).toBe(true);
    tickets.give(ticket);
    expect(tickets.has(ticket)).toBe(false);
  });

  test("grows when all are out, keeping those that are", () => {
    const tickets = new Tickets<number>(3);
    const out = Array.from({ length: 1000 }, (_, i) => tickets.take(i));
    expect(new Set(out).size).toBe(1000);
    expect(tickets.size).toBe(1000);
    expect(tickets.capacity).toBeGreaterThanOrEqual(1000);
    for (const [i, ticket] of out.entries()) expect(tickets.peek(ticket)).toBe(i);
    const listed: [number, number][] = [];
    tickets.forEach((context, ticket) => void listed.push([context, ticket]));
    expect(listed.length).toBe(1000);
    for (const [context, ticket] of listed) expect(out[context]).toBe(ticket);
    for (const [i, ticket] of out.toReversed().entries()) expect(tickets.give(ticket)).toBe(999 - i);
    expect(tickets.size).toBe(0);
  });

  test("slots are used in turn, so that a generation lasts as long as it can", () => {
    const tickets = new Tickets<null>(8);
    const slots = Array.from({ length: 16 }, () => {
      const ticket = tickets.take(null);
      tickets.give(ticket);
      return ticket % 2 ** 22;
    });
    expect(slots.slice(0, 8).toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(slots.slice(8)).toEqual(slots.slice(0, 8));
  });

  test.each([-1, 0, 0.5, 2 ** 53, Number.NaN, "1", 1n, undefined])("%p is nobody's ticket", (ticket) => {
    const tickets = new Tickets<number>(4);
    tickets.take(1);
    expect(tickets.peek(ticket as number)).toBeUndefined();
    expect(tickets.give(ticket as number)).toBeUndefined();
    expect(tickets.size).toBe(1);
  });

  test.each([0, -1, 1.5, 2 ** 22 + 1, "4"])("refuses %p as a capacity", (capacity) => {
    expect(() => new Tickets(capacity as number)).toThrow(expect.objectContaining({ code: "ERR_URING_ARG_VALUE" }));
  });

  test("travel through a ring and come back whole", () => {
    using ring = new Ring(32);
    const tickets = new Tickets<string>(2);
    for (let round = 0; round < 100; round++) {
      for (let i = 0; i < 32; i++) ring.prepNop().userData(tickets.take(`${round}.${i}`));
      ring.submitAndWait(32);
      let i = 0;
      ring.forEachCqe((cqe) => expect(tickets.give(cqe.userData)).toBe(`${round}.${i++}`));
      expect([i, tickets.size]).toEqual([32, 0]);
    }
  });
});
