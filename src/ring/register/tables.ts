/** What registrations of buffers and of files have in common: tables of so many places, updates, tags. */
import { describe, rangeError, typeError } from "../../errors.ts";
import { checkCount, checkU64 } from "../prep/check.ts";
import type { UserData } from "../prep/slot.ts";
import { setU64 } from "../structs.ts";

/** Refuses a table that is none, is empty, or is larger than `most`. */
export function checkTable(what: string, items: readonly unknown[] | Int32Array, most: number): void {
  if (!Array.isArray(items) && !(items instanceof Int32Array)) {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot register ${describe(items)} as ${what}: pass an array`);
  }
  if (items.length === 0 || items.length > most) throw tableSize(what, items.length, most);
}

/** Refuses a number of empty places that no table can have. */
export function checkPlaces(what: string, count: number, most: number): void {
  checkCount(`a number of ${what}`, count);
  if (count === 0 || count > most) throw tableSize(what, count, most);
}

/** Refuses an update past the end of a table of `places`. */
export function checkUpdate(
  what: string,
  offset: number,
  items: readonly unknown[] | Int32Array,
  places: number,
): void {
  checkCount("an index", offset);
  checkTable(what, items, places);
  if (offset + items.length > places) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot update ${items.length} ${what} from index ${offset}: the table has ${places} places`,
    );
  }
}

function tableSize(what: string, count: number, most: number): RangeError {
  return rangeError("ERR_URING_ARG_VALUE", `Cannot register ${count} ${what}: it must be from 1 to ${most}`);
}

/** The tags as the kernel takes them, 64 bits each. */
export function tagsOf(tags: readonly UserData[], count: number): Int32Array {
  if (!Array.isArray(tags)) {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot use ${describe(tags)} as tags: pass an array`);
  }
  if (tags.length !== count) {
    throw rangeError("ERR_URING_ARG_VALUE", `Cannot use ${tags.length} tags: there must be one for each of ${count}`);
  }
  const words = new Int32Array(count * 2);
  tags.forEach((tag: UserData, index) => {
    checkU64("a tag", tag);
    setU64(words, index * 2, tag);
  });
  return words;
}
