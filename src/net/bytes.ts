/** What people pass to write() and end(), made bytes of, with Bun's answers to what is none. */

const EMPTY = new Uint8Array(0);

/** The bytes that a write is of. */
export interface Part {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

/**
 * What is to be sent of `data`, by the arguments that may follow it: an offset and a length, or an encoding, in the first
 * of the three or in the last.
 *
 * @param method what errors call it.
 * @throws TypeError, RangeError or Error as Bun's own does.
 */
export function partOf(data: unknown, second: unknown, third: unknown, fourth: unknown, method: string): Part {
  let encoding: string | undefined;
  if (typeof second === "string" && third === undefined && fourth === undefined) encoding = second;
  else if (second === undefined && typeof third === "string" && fourth === undefined) encoding = third;
  else if (second === undefined && third === undefined && typeof fourth === "string") encoding = fourth;
  else if (typeof second === "string" || typeof third === "string" || fourth !== undefined) throw notBoth();
  const offset = encoding === undefined ? wholeNumber("byteOffset", second, method) : undefined;
  const length = encoding === undefined ? wholeNumber("byteLength", third, method) : undefined;
  const bytes = bytesOf(data, encoding);
  const from = offset ?? 0;
  if (from > bytes.byteLength) throw outOfRange("byteOffset", bytes.byteLength, from);
  // Without a length all of the bytes are meant, so that an offset without a length is one too far.
  const wanted = length ?? bytes.byteLength;
  if (wanted > bytes.byteLength - from) throw outOfRange("byteLength", bytes.byteLength - from, wanted);
  return { bytes, offset: from, length: wanted };
}

function wholeNumber(name: string, value: unknown, method: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || value > Number.MAX_SAFE_INTEGER) {
    const message = `Expected ${name} to be a integer for 'Socket.${method}'.`;
    throw Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
  }
  if (value < 0) throw outOfRange(name, Number.MAX_SAFE_INTEGER, value);
  return value;
}

function bytesOf(data: unknown, encoding: string | undefined): Uint8Array {
  if (data === undefined) return EMPTY;
  if (typeof data === "string" || data instanceof String) {
    return Buffer.from(String(data), Buffer.isEncoding(encoding ?? "utf8") ? (encoding as BufferEncoding) : "utf8");
  }
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  if (data instanceof Blob || data instanceof Response || data instanceof Request) return bytesOfBody(data);
  const message = `The "data" argument must be of type string, buffer, or blob. Received ${received(data)}`;
  throw Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
}

/** The bytes of something that has them in memory: then the promise of them is settled at once. */
function bytesOfBody(body: Blob | Response | Request): Uint8Array {
  const isBlob = body instanceof Blob;
  if (!isBlob && body.body === null) throw notBuffered();
  const bytes = Bun.peek(body.bytes());
  if (bytes instanceof Uint8Array) return bytes;
  bytes.catch(() => undefined);
  throw isBlob ? new Error("File blob not supported yet in this function.") : notBuffered();
}

function notBuffered(): TypeError {
  const message = "Only buffered Request/Response bodies are supported for now.";
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
}

function received(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "function") return `function ${value.name}`;
  if (typeof value === "object") return `an instance of ${value.constructor?.name ?? "Object"}`;
  const shown = typeof value === "bigint" ? `${value}n` : String(value);
  return `type ${typeof value} (${shown})`;
}

/** What is said to a number that is too small or too large. */
export function outOfRange(name: string, most: number, value: number): RangeError {
  const message = `The value of "${name}" is out of range. It must be >= 0 and <= ${most}. Received ${value}`;
  return Object.assign(new RangeError(message), { code: "ERR_OUT_OF_RANGE" });
}

function notBoth(): Error {
  const message =
    "Support encoding with offset and length altogether. Only either encoding or offset, length is supported, but not both combinations yet.";
  return Object.assign(new Error(message), { name: "TODOError" });
}
