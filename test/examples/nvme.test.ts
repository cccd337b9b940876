/** `bun run examples/nvme`: what it understands anywhere, and on a disk that the environment names what it does. */
import { describe, expect, test } from "bun:test";
import { closeSync, constants, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  NVME_CMD_READ,
  NVME_URING_CMD_ADMIN,
  NVME_URING_CMD_IO,
  transferCmd,
  uringCmd,
} from "../../examples/nvme/abi.ts";
import { controllerRows, namespaceRows, readController, readNamespace, tableOf } from "../../examples/nvme/identify.ts";
import { readTask } from "../../examples/nvme/options.ts";
import { DeviceError, statusMessage } from "../../examples/nvme/status.ts";
import { layoutOf } from "../../examples/nvme/transfer.ts";
import { readDirect, writeDirect } from "../support/disk.ts";
import { pattern, scratchDirectory } from "../support/files.ts";
import { type Declare, has, needs, needsThat } from "../support/kernel.ts";
import { example, type Outcome, run } from "./programs.ts";

const nvme = (...args: string[]): Outcome => run([...example("nvme"), ...args]);

describe("readTask()", () => {
  test("reads what there is to do", () => {
    expect(readTask(["identify", "/dev/nvme0"])).toEqual({ what: "identify", device: "/dev/nvme0", nsid: undefined });
    expect(readTask(["read", "/dev/ng0n1", "--lba", "7", "--blocks", "9", "--out", "x", "--iopoll"])).toEqual({
      what: "read",
      device: "/dev/ng0n1",
      nsid: undefined,
      iopoll: true,
      lba: 7,
      blocks: 9,
      out: "x",
    });
    expect(readTask(["write", "d", "--lba", "0", "--in", "x", "--yes-destroy", "--nsid", "2"])).toEqual({
      what: "write",
      device: "d",
      nsid: 2,
      iopoll: false,
      lba: 0,
      in: "x",
    });
    expect(readTask(["read", "--help"])).toEqual({ what: "help" });
  });

  test.each([
    [[], "what is to be done?"],
    [["format", "d"], "there is no 'format'"],
    [["identify"], "takes one device"],
    [["identify", "a", "b"], "takes one device"],
    [["identify", "d", "--lba", "1"], "identify takes no --lba"],
    [["read", "d"], "read needs --lba"],
    [["read", "d", "--lba", "-1"], "ambiguous"],
    [["read", "d", "--lba", "x"], "--lba takes a whole number"],
    [["read", "d", "--lba", "1", "--blocks", "0"], "--blocks takes a whole number from 1"],
    [["read", "d", "--lba", "1", "--yes-destroy"], "read takes no --yes-destroy"],
    [["write", "d", "--lba", "1", "--yes-destroy"], "write needs --in"],
    [["write", "d", "--lba", "1", "--in", "x"], "say --yes-destroy"],
    [["read", "d", "--wide"], "--wide"],
  ])("refuses %j", (args, words) => {
    expect(() => readTask(args)).toThrow(words);
  });
});

describe("commands", () => {
  test("uringCmd() has every field in its place", () => {
    const words = { cdw10: 10, cdw11: 11, cdw12: 12 };
    const bytes = uringCmd({ opcode: 6, nsid: 0x01020304, address: 2 ** 40 + 5, length: 4096, ...words });
    const view = new DataView(bytes.buffer);
    expect(bytes).toHaveLength(72);
    expect([bytes[0], view.getUint32(4, true), view.getBigUint64(24, true)]).toEqual([6, 0x01020304, 2n ** 40n + 5n]);
    expect([36, 40, 44, 48].map((at) => view.getUint32(at, true))).toEqual([4096, 10, 11, 12]);
  });

  test("transferCmd() splits the block's number and counts from 0", () => {
    const common = { opcode: NVME_CMD_READ, nsid: 1, address: 4096, length: 4096 };
    const view = new DataView(transferCmd({ ...common, lba: 2 ** 33 + 3, blocks: 8, protection: 0 }).buffer);
    expect([40, 44, 48, 56].map((at) => view.getUint32(at, true))).toEqual([3, 2, 7, 0]);
    const most = (protection: number): DataView =>
      new DataView(transferCmd({ ...common, lba: 2 ** 32 + 9, blocks: 65536, protection }).buffer);
    expect([48, 56].map((at) => most(1).getUint32(at, true))).toEqual([0x3400ffff, 9]);
    expect([48, 56].map((at) => most(3).getUint32(at, true))).toEqual([0x3000ffff, 0]);
  });

  test("have the numbers that _IOWR() gives", () => {
    expect([NVME_URING_CMD_IO, NVME_URING_CMD_ADMIN]).toEqual([0xc0484e80, 0xc0484e82]);
  });
});

/** An answer of a controller, with `put` over what is usual. */
function controllerAnswer(put: (view: DataView, bytes: Uint8Array) => void = () => {}): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x1b36, true);
  bytes.set(Buffer.from("serial".padEnd(20)), 4);
  bytes.set(Buffer.from("A Model".padEnd(40)), 24);
  bytes.set(Buffer.from("1.0\0\0\0\0\0"), 64);
  bytes.set([0x00, 0x54, 0x52], 73);
  bytes[77] = 7;
  view.setUint16(78, 3, true);
  view.setUint32(80, 0x00010400, true);
  view.setUint16(266, 343, true);
  view.setUint32(516, 256, true);
  view.setUint16(520, 0b101, true);
  bytes[525] = 1;
  bytes.set(Buffer.from("nqn.2019-08.org.qemu:serial\0rest"), 768);
  put(view, bytes);
  return bytes;
}

/** An answer of a namespace of 1 GiB whose second format is in use. */
function namespaceAnswer(put: (view: DataView, bytes: Uint8Array) => void = () => {}): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  for (const at of [0, 8]) view.setBigUint64(at, 262144n, true);
  view.setBigUint64(16, 1n, true);
  bytes[25] = 1;
  bytes[26] = 1;
  bytes[128 + 2] = 9;
  bytes[132 + 2] = 12;
  put(view, bytes);
  return bytes;
}

describe("identify", () => {
  test("readController() reads what the specification puts there", () => {
    expect(readController(controllerAnswer())).toEqual({
      vendor: 0x1b36,
      serial: "serial",
      model: "A Model",
      firmware: "1.0",
      ieee: "525400",
      id: 3,
      version: "1.4.0",
      maxTransferBytes: 512 * 1024,
      capacity: 0n,
      namespaces: 256,
      volatileCache: true,
      optional: ["compare", "dataset management"],
      warningC: 70,
      criticalC: undefined,
      subsystem: "nqn.2019-08.org.qemu:serial",
    });
    const unlimited = controllerAnswer((view, bytes) => {
      bytes[77] = 0;
      view.setBigUint64(288, 1n, true);
    });
    expect(readController(unlimited)).toMatchObject({ maxTransferBytes: Infinity, capacity: 2n ** 64n });
  });

  test("readNamespace() reads sizes, formats and names", () => {
    const answer = namespaceAnswer((_, bytes) => {
      bytes[29] = 1;
      bytes[127] = 0xab;
    });
    expect(readNamespace(answer)).toEqual({
      size: 262144n,
      capacity: 262144n,
      used: 1n,
      formats: [
        { dataBytes: 512, metadataBytes: 0 },
        { dataBytes: 4096, metadataBytes: 0 },
      ],
      current: 1,
      extended: false,
      protection: 1,
      nguid: "-",
      eui64: "00000000000000ab",
    });
    // A namespace of many formats has two more bits for the one in use.
    const many = namespaceAnswer((_, bytes) => {
      bytes[25] = 40;
      bytes[26] = 0x20 | 0x10 | 3;
    });
    expect(readNamespace(many)).toMatchObject({ current: 19, extended: true });
  });

  test("the table has a line for each thing", () => {
    const controller = readController(controllerAnswer());
    const namespace = readNamespace(namespaceAnswer());
    const table = tableOf([...controllerRows(controller), ...namespaceRows(1, namespace)]);
    expect(table).toMatch(/^model +A Model$/m);
    expect(table).toMatch(/^largest transfer +524288 bytes \(512\.0 KiB\)$/m);
    expect(table).toMatch(/^warning temperature +70 °C$/m);
    expect(table).toMatch(/^size +262144 blocks, 1073741824 bytes \(1\.0 GiB\)$/m);
    expect(table).toMatch(/^LBA format 1 +4096 bytes, 0 of metadata, in use$/m);
  });

  test("layoutOf() keeps to everybody's limits, and refuses metadata that it cannot handle", () => {
    const controller = readController(controllerAnswer());
    const namespace = readNamespace(namespaceAnswer());
    expect(layoutOf(controller, namespace, Infinity)).toEqual({ blockBytes: 4096, chunkBlocks: 32, protection: 0 });
    expect(layoutOf(controller, namespace, 65536).chunkBlocks).toBe(16);
    const small = readController(controllerAnswer((_, bytes) => void (bytes[77] = 1)));
    expect(layoutOf(small, namespace, Infinity).chunkBlocks).toBe(2);
    const formatted = (metadata: number, type: number): (() => unknown) => {
      const answer = namespaceAnswer((view, bytes) => {
        view.setUint16(132, metadata, true);
        bytes[29] = type;
      });
      return () => layoutOf(controller, readNamespace(answer), Infinity);
    };
    expect(formatted(8, 1)()).toMatchObject({ protection: 1 });
    expect(formatted(8, 0)).toThrow("8 bytes of metadata");
    expect(formatted(64, 1)).toThrow("64 bytes of metadata");
  });
});

describe("statusMessage()", () => {
  test("names what the device answers", () => {
    expect(statusMessage(0x4080)).toBe(
      "LBA_RANGE (type 0, code 0x80): a block is past the end of the namespace; the device says that trying again is of no use",
    );
    expect(statusMessage(0x281)).toStartWith("READ_ERROR (type 2, code 0x81): ");
    expect(statusMessage(0x1ff)).toBe("unknown (type 1, code 0xff): a status of the command");
    expect(statusMessage(0x7c0)).toBe("unknown (type 7, code 0xc0): a status of the vendor's");
    expect(new DeviceError("read block 1", 0x80).message).toStartWith(
      "cannot read block 1: the device answers LBA_RANGE",
    );
  });
});

describe("failures that need no disk", () => {
  test("a command line that makes no sense", () => {
    const { status, stderr } = nvme("write", "/dev/nvme9n9", "--lba", "0", "--in", "x");
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr:
        "nvme: what is on /dev/nvme9n9 there would be lost: say --yes-destroy if it may be\nTry 'bun run examples/nvme --help'.\n",
    });
  });

  test("what is not there, and what is no NVMe disk", () => {
    expect(nvme("identify", "/dev/nvme9n9")).toMatchObject({ status: 1, stderr: "nvme: there is no /dev/nvme9n9\n" });
    const { status, stderr } = nvme("identify", "/dev/null");
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "nvme: /dev/null is no NVMe disk: it should be like /dev/nvme0, /dev/nvme0n1 or /dev/ng0n1\n",
    });
  });

  test("--help tells how it is called", () => {
    const { status, stdout } = nvme("--help");
    expect(status).toBe(0);
    expect(String(stdout)).toStartWith("Usage: bun run examples/nvme identify DEVICE\n");
  });
});

// ---- On a disk that may be written over

/** On a disk that the environment names, where the kernel takes commands; elsewhere a skip that says so. */
function onDisk(variable: string): [string, Declare] {
  const device = process.env[variable] ?? "";
  if (existsSync(device)) return [device, needs("IORING_OP_URING_CMD")];
  return [device, needsThat(false, `an NVMe disk to be written over, named by ${variable}`)];
}

const [disk, here] = onDisk("URING_TEST_NVME_DEVICE");
const [protectedDisk, withProtection] = onDisk("URING_TEST_PI_DEVICE");
const generic = disk.replace("/dev/nvme", "/dev/ng");
const directory = scratchDirectory();

/** What a table says of something. */
function cell(table: Buffer, name: string): string | undefined {
  return new RegExp(`^${name} +(.*)$`, "m").exec(String(table))?.[1];
}

const old = existsSync(disk) && !has("IORING_OP_URING_CMD");
needsThat(old, "a kernel without IORING_OP_URING_CMD")("a kernel that takes no commands is told so", () => {
  for (const args of [
    ["identify", disk],
    ["read", disk, "--lba", "0"],
  ]) {
    expect(nvme(...args)).toMatchObject({
      status: 1,
      stderr: "nvme: this kernel's io_uring has no room for such commands: they need Linux 5.19\n",
    });
  }
});

describe("on a disk", () => {
  here("identify says what the system says, whichever way the disk is named", () => {
    const controller = basename(disk).replace(/n\d+$/, "");
    const system = (name: string): string => readFileSync(`/sys/class/nvme/${controller}/${name}`, "utf8").trim();
    for (const name of [disk, generic, `/dev/${controller}`]) {
      const { status, stdout, stderr } = nvme("identify", name);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(cell(stdout, "model")).toBe(system("model"));
      expect(cell(stdout, "serial number")).toBe(system("serial"));
      expect(cell(stdout, "firmware")).toBe(system("firmware_rev"));
      expect(cell(stdout, "subsystem")).toBe(system("subsysnqn"));
      expect(cell(stdout, "controller")).toBe(String(Number(system("cntlid"))));
      const sectors = Number(readFileSync(`/sys/block/${basename(disk)}/size`, "utf8"));
      const size = cell(stdout, "size");
      if (name === `/dev/${controller}`) expect(size).toBeUndefined();
      else expect(size).toStartWith(`${sectors} blocks, ${sectors * 512} bytes`);
    }
  });

  // One block; several; more than is in flight at a time, and not a whole number of commands.
  for (const blocks of [1, 8, 4096 + 300 + 1]) {
    for (const polled of [false, true]) {
      const flags = polled ? ["--iopoll"] : [];
      const how = polled ? "polled" : "by interrupts";

      here(`what is written is what others read, and the other way round: ${blocks} blocks, ${how}`, () => {
        const data = pattern(blocks * 512, blocks + Number(polled));
        const source = join(directory, "source");
        writeFileSync(source, data);
        const place = ["--lba", "2048"];
        const wrote = nvme("write", disk, ...place, "--in", source, "--yes-destroy", ...flags);
        expect(wrote).toMatchObject({
          status: 0,
          stderr: `nvme: wrote ${blocks} blocks of 512 bytes from block 2048 on\n`,
        });
        expect(readDirect(disk, 2048 * 512, blocks * 512).equals(data)).toBe(true);

        const other = pattern(blocks * 512, blocks + 77);
        writeDirect(disk, 2048 * 512, other);
        const target = join(directory, "target");
        const read = nvme("read", generic, ...place, "--blocks", String(blocks), "--out", target, ...flags);
        expect(read).toMatchObject({ status: 0, stderr: "" });
        expect(readFileSync(target).equals(other)).toBe(true);
      });
    }
  }

  here("read without --out writes to standard output", () => {
    const data = pattern(1024, 5);
    writeDirect(disk, 0, data);
    const { status, stdout } = nvme("read", disk, "--lba", "0", "--blocks", "2");
    expect({ status, same: stdout.equals(data) }).toEqual({ status: 0, same: true });
  });

  for (const flags of [[], ["--iopoll"]]) {
    here(`a block past the end is refused in the device's words ${flags.join()}`, () => {
      const sectors = Number(readFileSync(`/sys/block/${basename(disk)}/size`, "utf8"));
      const { status, stderr } = nvme("read", disk, "--lba", String(sectors - 1), "--blocks", "2", ...flags);
      expect(status).toBe(1);
      expect(stderr).toStartWith(
        `nvme: cannot read blocks ${sectors - 1} to ${sectors}: the device answers LBA_RANGE (type 0, code 0x80): `,
      );
    });
  }

  here("a disk that is in use is not written", () => {
    const source = join(directory, "one");
    writeFileSync(source, pattern(512, 9));
    const before = readDirect(disk, 0, 512);
    const fd = openSync(disk, constants.O_RDONLY | constants.O_EXCL);
    const { status, stderr } = nvme("write", disk, "--lba", "0", "--in", source, "--yes-destroy");
    closeSync(fd);
    expect({ status, stderr }).toEqual({ status: 1, stderr: `nvme: ${disk} is in use: unmount it first\n` });
    expect(readDirect(disk, 0, 512).equals(before)).toBe(true);
  });

  here("a file that is no whole number of blocks is not written", () => {
    const source = join(directory, "odd");
    writeFileSync(source, pattern(700, 9));
    const { status, stderr } = nvme("write", disk, "--lba", "0", "--in", source, "--yes-destroy");
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: `nvme: ${source} has 700 bytes, which is no whole number of blocks of 512\n`,
    });
  });

  withProtection("of protected blocks the controller makes and checks the protection", () => {
    const { stdout } = nvme("identify", protectedDisk);
    expect(cell(stdout, "protection")).toBe("type 1");
    const data = pattern(64 * 512, 3);
    const source = join(directory, "protected");
    writeFileSync(source, data);
    expect(nvme("write", protectedDisk, "--lba", "10", "--in", source, "--yes-destroy").status).toBe(0);
    const { status, stdout: back } = nvme("read", protectedDisk, "--lba", "10", "--blocks", "64");
    expect({ status, same: back.equals(data) }).toEqual({ status: 0, same: true });
    // The kernel asks for the same protection, and would not take data without it.
    expect(readDirect(protectedDisk, 10 * 512, 64 * 512).equals(data)).toBe(true);
    writeDirect(protectedDisk, 10 * 512, data.toReversed());
    const other = nvme("read", protectedDisk, "--lba", "10", "--blocks", "64");
    expect(other.stdout.equals(data.toReversed())).toBe(true);
  });
});
