/** What controllers and namespaces tell of themselves, read and shown. */

/** What is read of a controller. */
export interface Controller {
  readonly vendor: number;
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
  readonly ieee: string;
  readonly id: number;
  /** Of the specification that it follows: "1.4.0". */
  readonly version: string;
  /** The most bytes of one command; Infinity where it sets no limit. */
  readonly maxTransferBytes: number;
  readonly capacity: bigint;
  readonly namespaces: number;
  /** Whether written data stays in a cache until it is flushed. */
  readonly volatileCache: boolean;
  /** Commands that it need not have and has. */
  readonly optional: readonly string[];
  /** Temperatures that it warns of and that are critical, in degrees Celsius. */
  readonly warningC: number | undefined;
  readonly criticalC: number | undefined;
  readonly subsystem: string;
}

/** A way to lay out blocks. */
export interface Format {
  readonly dataBytes: number;
  readonly metadataBytes: number;
}

/** What is read of a namespace. */
export interface Namespace {
  /** In blocks: its size, what can be written, what is in use. */
  readonly size: bigint;
  readonly capacity: bigint;
  readonly used: bigint;
  readonly formats: readonly Format[];
  /** Which of them is in use. */
  readonly current: number;
  /** Whether metadata follows each block's data in the same memory. */
  readonly extended: boolean;
  /** Protection information: its type, 0 for none. */
  readonly protection: number;
  readonly nguid: string;
  readonly eui64: string;
}

/** The page in which a controller counts the most that it transfers, unless it has larger ones only. */
const PAGE = 4096;
const KELVIN = 273;
const optionalCommands = [
  "compare",
  "write uncorrectable",
  "dataset management",
  "write zeroes",
  "save and select features",
  "reservations",
  "timestamp",
  "verify",
  "copy",
];

/** Reads a controller's answer, of 4096 bytes. */
export function readController(bytes: Uint8Array): Controller {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (from: number, to: number): string => textOf(bytes.subarray(from, to));
  const version = view.getUint32(80, true);
  const mdts = view.getUint8(77);
  const oncs = view.getUint16(520, true);
  const celsius = (at: number): number | undefined => view.getUint16(at, true) - KELVIN;
  return {
    vendor: view.getUint16(0, true),
    serial: text(4, 24),
    model: text(24, 64),
    firmware: text(64, 72),
    // The least significant byte comes first.
    ieee: bytes.slice(73, 76).reverse().toHex(),
    id: view.getUint16(78, true),
    version: `${version >>> 16}.${(version >>> 8) & 0xff}.${version & 0xff}`,
    maxTransferBytes: mdts === 0 ? Infinity : PAGE * 2 ** mdts,
    capacity: view.getBigUint64(280, true) + (view.getBigUint64(288, true) << 64n),
    namespaces: view.getUint32(516, true),
    volatileCache: (view.getUint8(525) & 1) !== 0,
    optional: optionalCommands.filter((_, bit) => (oncs & (1 << bit)) !== 0),
    warningC: view.getUint16(266, true) === 0 ? undefined : celsius(266),
    criticalC: view.getUint16(268, true) === 0 ? undefined : celsius(268),
    subsystem: text(768, 1024),
  };
}

/** Reads a namespace's answer, of 4096 bytes. */
export function readNamespace(bytes: Uint8Array): Namespace {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const formats = Array.from({ length: view.getUint8(25) + 1 }, (_, i) => ({
    dataBytes: 2 ** view.getUint8(128 + 4 * i + 2),
    metadataBytes: view.getUint16(128 + 4 * i, true),
  }));
  const flbas = view.getUint8(26);
  return {
    size: view.getBigUint64(0, true),
    capacity: view.getBigUint64(8, true),
    used: view.getBigUint64(16, true),
    formats,
    // Two more bits for those that have more formats than sixteen.
    current: (flbas & 0xf) | ((flbas & 0x60) >> 1),
    extended: (flbas & 0x10) !== 0,
    protection: view.getUint8(29) & 7,
    nguid: hexUnlessZero(bytes.subarray(104, 120)),
    eui64: hexUnlessZero(bytes.subarray(120, 128)),
  };
}

/** The format that a namespace has. */
export function formatOf(namespace: Namespace): Format {
  const format = namespace.formats[namespace.current];
  if (format === undefined) throw new Error(`the namespace says that it has format ${namespace.current}, and has none`);
  return format;
}

function textOf(bytes: Uint8Array): string {
  // Texts are filled up with spaces, and some with zeros.
  return Buffer.from(bytes).toString("latin1").replace(/\0.*$/s, "").trim();
}

function hexUnlessZero(bytes: Uint8Array): string {
  return bytes.every((byte) => byte === 0) ? "-" : bytes.toHex();
}

/** A controller as lines of a table. */
export function controllerRows(controller: Controller): readonly (readonly [string, string])[] {
  const { maxTransferBytes, capacity, warningC, criticalC } = controller;
  const degrees = (celsius: number | undefined): string => (celsius === undefined ? "-" : `${celsius} °C`);
  return [
    ["model", controller.model],
    ["serial number", controller.serial],
    ["firmware", controller.firmware],
    ["vendor", `0x${controller.vendor.toString(16).padStart(4, "0")}, IEEE ${controller.ieee}`],
    ["NVMe version", controller.version],
    ["controller", String(controller.id)],
    ["subsystem", controller.subsystem || "-"],
    ["namespaces, at most", String(controller.namespaces)],
    ["capacity", capacity === 0n ? "-" : bytesOf(capacity)],
    ["largest transfer", maxTransferBytes === Infinity ? "no limit" : bytesOf(BigInt(maxTransferBytes))],
    ["volatile write cache", controller.volatileCache ? "yes" : "no"],
    ["warning temperature", degrees(warningC)],
    ["critical temperature", degrees(criticalC)],
    ["optional commands", controller.optional.join(", ") || "-"],
  ];
}

/** A namespace as lines of a table. */
export function namespaceRows(nsid: number, namespace: Namespace): readonly (readonly [string, string])[] {
  const blockBytes = BigInt(formatOf(namespace).dataBytes);
  const blocks = (count: bigint): string => `${count} blocks, ${bytesOf(count * blockBytes)}`;
  const metadata = namespace.extended ? "behind each block's data" : "in memory of its own";
  return [
    ["namespace", String(nsid)],
    ["size", blocks(namespace.size)],
    ["capacity", blocks(namespace.capacity)],
    ["in use", blocks(namespace.used)],
    ...namespace.formats.map(({ dataBytes, metadataBytes }, i): readonly [string, string] => {
      const used = i === namespace.current ? ", in use" : "";
      return [`LBA format ${i}`, `${dataBytes} bytes, ${metadataBytes} of metadata${used}`];
    }),
    ["metadata", formatOf(namespace).metadataBytes === 0 ? "-" : metadata],
    ["protection", namespace.protection === 0 ? "none" : `type ${namespace.protection}`],
    ["NGUID", namespace.nguid],
    ["EUI-64", namespace.eui64],
  ];
}

/** "1073741824 bytes (1.0 GiB)". */
function bytesOf(bytes: bigint): string {
  const units = ["", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const unit = Math.min(Math.floor(Math.log2(Math.max(Number(bytes), 1)) / 10), units.length - 1);
  return `${bytes} bytes${unit === 0 ? "" : ` (${(Number(bytes) / 1024 ** unit).toFixed(1)} ${units[unit]})`}`;
}

/** Rows with their second column aligned. */
export function tableOf(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}
