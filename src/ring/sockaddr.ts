/** Socket addresses: struct sockaddr of IPv4, IPv6 and unix sockets, built and read. */
import { AF_INET, AF_INET6, AF_UNIX, SIZEOF_SOCKADDR_STORAGE, SIZEOF_SOCKLEN } from "../abi/linux.ts";
import { describe, rangeError, typeError } from "../errors.ts";
import { addressOf, type Located } from "../memory.ts";
import { checkU16, checkU32 } from "./prep/check.ts";

/** Bytes of struct sockaddr_in: family, port, address, eight bytes of nothing. */
const IPV4_BYTES = 16;
/** Bytes of struct sockaddr_in6: family, port, flow information, address, scope. */
const IPV6_BYTES = 28;
/** Bytes of a unix socket's path or name, after the family. */
const UNIX_PATH_BYTES = 108;
/** Bytes of the family, with which every address begins. */
const FAMILY_BYTES = 2;

/** What a socket address says. */
export type SocketAddress =
  | { readonly family: "ipv4"; readonly address: string; readonly port: number }
  | {
      readonly family: "ipv6";
      readonly address: string;
      readonly port: number;
      /** The interface of a link-local address, else 0. */
      readonly scopeId: number;
      readonly flowInfo: number;
    }
  /** A unix socket with a name in the file system. */
  | { readonly family: "unix"; readonly path: string }
  /** A unix socket with a name of its own, outside the file system. */
  | { readonly family: "abstract"; readonly name: string }
  /** A unix socket without a name, or no address at all. */
  | { readonly family: "unnamed" }
  /** Any other family, by its AF_* number. */
  | { readonly family: "other"; readonly number: number };

/**
 * A socket address at a fixed place: to bind, connect or send to, or with room for one that the kernel stores.
 *
 * ```ts
 * ring.prepBind(fd, SockAddr.ipv4("127.0.0.1", 8080));
 *
 * const peer = SockAddr.empty();
 * ring.prepAccept(listener, peer, peer.lengthCell); // keep `peer` until the completion
 * // ... then
 * peer.value; // { family: "ipv4", address: "127.0.0.1", port: 40112 }
 * ```
 */
export class SockAddr implements Located {
  readonly address: number;
  /** Bytes of the address; of an empty one, the room that it has. */
  readonly byteLength: number;
  /** Its length as the kernel takes and stores it, a 32-bit number of its own: what `addrlen` of accept wants. */
  readonly lengthCell: Located;
  readonly #bytes: Uint8Array;
  readonly #length: Int32Array = new Int32Array(1);

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.byteLength = bytes.length;
    this.address = addressOf(bytes);
    this.#length[0] = bytes.length;
    this.lengthCell = new LengthCell(this.#length);
  }

  /**
   * An IPv4 address.
   *
   * @param address four decimal numbers with dots.
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
   */
  static ipv4(address: string, port: number): SockAddr {
    checkU16("port", port);
    const bytes = new Uint8Array(IPV4_BYTES);
    setFamily(bytes, AF_INET);
    setPort(bytes, port);
    bytes.set(parseIpv4(address), 4);
    return new SockAddr(bytes);
  }

  /**
   * An IPv6 address.
   *
   * @param address in any of its written forms, with a numeric zone (`fe80::1%2`) in place of `scopeId`.
   * @param scopeId the interface's index, for link-local addresses.
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
   */
  static ipv6(address: string, port: number, scopeId: number = 0, flowInfo: number = 0): SockAddr {
    checkU16("port", port);
    checkU32("scope id", scopeId);
    checkU32("flow information", flowInfo);
    const { bytes: ip, zone } = parseIpv6(address);
    const bytes = new Uint8Array(IPV6_BYTES);
    const view = new DataView(bytes.buffer);
    setFamily(bytes, AF_INET6);
    setPort(bytes, port);
    view.setUint32(4, flowInfo);
    bytes.set(ip, 8);
    view.setUint32(24, zone ?? scopeId, true);
    return new SockAddr(bytes);
  }

  /**
   * A unix socket with a name in the file system.
   *
   * @param path 1 to 107 bytes.
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
   */
  static unix(path: string): SockAddr {
    const text = unixBytes("path", path);
    if (text.length === 0) throw rangeError("ERR_URING_ARG_VALUE", "Cannot use an empty path for a unix socket");
    if (text.includes(0)) throw rangeError("ERR_URING_ARG_VALUE", "Cannot use a path with a NUL in it");
    const bytes = new Uint8Array(FAMILY_BYTES + text.length + 1);
    setFamily(bytes, AF_UNIX);
    bytes.set(text, FAMILY_BYTES);
    return new SockAddr(bytes);
  }

  /**
   * A unix socket with a name outside the file system, gone with the socket.
   *
   * @param name up to 107 bytes of any kind, without the NUL that the kernel wants before them.
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`.
   */
  static abstract(name: string): SockAddr {
    const text = unixBytes("name", name);
    const bytes = new Uint8Array(FAMILY_BYTES + 1 + text.length);
    setFamily(bytes, AF_UNIX);
    bytes.set(text, FAMILY_BYTES + 1);
    return new SockAddr(bytes);
  }

  /** Room for any address that the kernel may store: 128 bytes. */
  static empty(): SockAddr {
    return new SockAddr(new Uint8Array(SIZEOF_SOCKADDR_STORAGE));
  }

  /**
   * Reads an address out of bytes that the kernel stored.
   *
   * @param length how many of the bytes count, as the kernel said; more than there are means that it was cut off.
   * @throws TypeError or RangeError `ERR_URING_ARG_TYPE`, `ERR_URING_ARG_VALUE`: not bytes, or too few for the family.
   */
  static parse(bytes: Uint8Array, length: number = bytes.length): SocketAddress {
    if (!(bytes instanceof Uint8Array)) {
      throw typeError("ERR_URING_ARG_TYPE", `Cannot read a socket address out of ${describe(bytes)}`);
    }
    checkU32("address length", length);
    return parse(bytes.subarray(0, Math.min(length >>> 0, bytes.length)));
  }

  /** What it says now, by the length in {@link lengthCell}. @throws RangeError where the kernel cut it off. */
  get value(): SocketAddress {
    return SockAddr.parse(this.#bytes, this.length);
  }

  /** Its length by {@link lengthCell}: as made, or as the kernel stored it. More than its room means it was cut off. */
  get length(): number {
    return this.#length[0] as number;
  }

  /** Makes it fit to receive again: {@link lengthCell} says once more how much room there is. */
  reset(): this {
    this.#length[0] = this.byteLength;
    return this;
  }
}

/** A socklen_t. */
class LengthCell implements Located {
  readonly address: number;
  readonly byteLength: number = SIZEOF_SOCKLEN;
  /** Keeps the number where it is for as long as the cell is kept. */
  readonly words: Int32Array;

  constructor(words: Int32Array) {
    this.words = words;
    this.address = addressOf(words);
  }
}

function setFamily(bytes: Uint8Array, family: number): void {
  bytes[0] = family;
}

/** Ports are stored with the high byte first. */
function setPort(bytes: Uint8Array, port: number): void {
  bytes[2] = port >> 8;
  bytes[3] = port;
}

function unixBytes(what: string, text: string): Uint8Array {
  if (typeof text !== "string") {
    throw typeError("ERR_URING_ARG_TYPE", `Cannot use ${describe(text)} as the ${what} of a unix socket`);
  }
  const bytes = new TextEncoder().encode(text);
  if (bytes.length < UNIX_PATH_BYTES) return bytes;
  throw rangeError(
    "ERR_URING_ARG_VALUE",
    `Cannot use a ${what} of ${bytes.length} bytes for a unix socket: 107 fit; a shorter link can stand for a path`,
  );
}

function badAddress(kind: string, text: unknown): TypeError | RangeError {
  const message = `Cannot read ${describe(text)} as an ${kind} address`;
  return typeof text === "string"
    ? rangeError("ERR_URING_ARG_VALUE", message)
    : typeError("ERR_URING_ARG_TYPE", message);
}

function parseIpv4(text: string): number[] {
  const parts = typeof text === "string" ? text.split(".") : [];
  // "010" is 8 to some and 10 to others: neither is guessed.
  const numbers = parts.map((part) => (/^(0|[1-9]\d{0,2})$/.test(part) ? Number(part) : 256));
  if (numbers.length !== 4 || numbers.some((number) => number > 255)) throw badAddress("IPv4", text);
  return numbers;
}

function parseIpv6(text: string): { bytes: number[]; zone: number | undefined } {
  if (typeof text !== "string") throw badAddress("IPv6", text);
  const [address, zoneText, ...more] = text.split("%") as [string, string?, ...string[]];
  const zone = zoneText === undefined ? undefined : Number(zoneText);
  if (zoneText !== undefined && (!/^\d{1,10}$/.test(zoneText) || Number(zone) >= 2 ** 32 || more.length > 0)) {
    throw rangeError(
      "ERR_URING_ARG_VALUE",
      `Cannot read the zone of ${describe(text)}: give the interface's index (os.networkInterfaces() has it as scopeid)`,
    );
  }
  const halves = address.split("::");
  const [before, after] = halves.map((half, index) => groupsOf(half, index === halves.length - 1, text));
  if (before === undefined || halves.length > 2) throw badAddress("IPv6", text);
  const missing = 16 - before.length - (after?.length ?? 0);
  if (after === undefined ? missing !== 0 : missing < 2) throw badAddress("IPv6", text);
  return { bytes: [...before, ...Array.from({ length: missing }, () => 0), ...(after ?? [])], zone };
}

/** The bytes of the groups on one side of "::". The last four of an address may be written as IPv4. */
function groupsOf(half: string, atEnd: boolean, text: string): number[] {
  if (half === "") return [];
  const groups = half.split(":");
  return groups.flatMap((group, index) => {
    if (/^[\da-f]{1,4}$/i.test(group)) return [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff];
    if (group.includes(".") && index === groups.length - 1 && atEnd) return parseIpv4(group);
    throw badAddress("IPv6", text);
  });
}

function parse(bytes: Uint8Array): SocketAddress {
  if (bytes.length < FAMILY_BYTES) return { family: "unnamed" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const number = view.getUint16(0, true);
  if (number === AF_UNIX) return parseUnix(bytes.subarray(FAMILY_BYTES));
  if (number === AF_INET) {
    needBytes("IPv4", bytes, IPV4_BYTES);
    return { family: "ipv4", address: bytes.subarray(4, 8).join("."), port: view.getUint16(2) };
  }
  if (number !== AF_INET6) return { family: "other", number };
  needBytes("IPv6", bytes, IPV6_BYTES);
  return {
    family: "ipv6",
    address: writeIpv6(view),
    port: view.getUint16(2),
    scopeId: view.getUint32(24, true),
    flowInfo: view.getUint32(4),
  };
}

function needBytes(kind: string, bytes: Uint8Array, length: number): void {
  if (bytes.length >= length) return;
  throw rangeError(
    "ERR_URING_ARG_VALUE",
    `Cannot read an ${kind} address out of ${bytes.length} bytes: it has ${length}`,
  );
}

function parseUnix(bytes: Uint8Array): SocketAddress {
  const decoder = new TextDecoder();
  if (bytes.length === 0) return { family: "unnamed" };
  // A name's length is all that ends it; a path ends at a NUL, which may or may not be counted.
  if (bytes[0] === 0) return { family: "abstract", name: decoder.decode(bytes.subarray(1)) };
  const end = bytes.indexOf(0);
  return { family: "unix", path: decoder.decode(end < 0 ? bytes : bytes.subarray(0, end)) };
}

/** The usual form (RFC 5952): lower case, the longest run of zero groups cut out, IPv4 inside IPv6 as IPv4. */
function writeIpv6(view: DataView): string {
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(8 + 2 * index));
  const run = longestZeros(groups);
  const mapped = run.start === 0 && run.length === 5 && groups[5] === 0xffff;
  const texts = groups.map((group) => group.toString(16));
  if (mapped) {
    const ipv4 = new Uint8Array(view.buffer, view.byteOffset + 20, 4).join(".");
    return `::ffff:${ipv4}`;
  }
  if (run.length < 2) return texts.join(":");
  return `${texts.slice(0, run.start).join(":")}::${texts.slice(run.start + run.length).join(":")}`;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, index) => {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  });
  return best;
}
