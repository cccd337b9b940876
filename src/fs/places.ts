/**
 * How many files are open at a time for functions that open and close one themselves. The others wait in order: a
 * thousand such calls at once are not to need a thousand descriptors.
 */
import { Fifo } from "../async/fifo.ts";
import { Mapping } from "../memory.ts";

/** How many. */
const PLACES = 64;
/** What a place has room for: a file that is no longer is read without looking for its size. */
export const PLACE_BYTES: number = 64 * 1024;

/** Memory that is a guest's for as long as it stays, and is never unmapped. */
export interface Place {
  /** All of it. */
  readonly bytes: Buffer;
  /** Where it begins. */
  readonly address: number;
}

/** Who needs a place. */
export interface Guest {
  /** There is one: `place`, until it is given to {@link leave}. */
  enter(place: Place): void;
}

let room: Mapping | undefined;
const empty: Place[] = [];
const waiting = new Fifo<Guest>();
let serving = false;

/** Lets a guest in, now or when another leaves. @throws UringError ENOMEM. */
export function wait(guest: Guest): void {
  if (room === undefined) {
    room = Mapping.anonymous(PLACES * PLACE_BYTES);
    for (let place = PLACES - 1; place >= 0; place--) {
      const offset = place * PLACE_BYTES;
      const bytes = Buffer.from(room.bytes.buffer, offset, PLACE_BYTES);
      empty.push({ bytes, address: room.address + offset });
    }
  }
  waiting.push(guest);
  serve();
}

/** A guest is done with its place. */
export function leave(place: Place): void {
  empty.push(place);
  serve();
}

function serve(): void {
  // A guest that is turned away at once leaves while it is still being let in.
  if (serving) return;
  serving = true;
  while (empty.length > 0) {
    const guest = waiting.shift();
    if (guest === undefined) break;
    guest.enter(empty.pop() as Place);
  }
  serving = false;
}
