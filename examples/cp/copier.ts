/** What cp(1) decides: what kind of thing is copied onto what, what is refused, and in which words. */
import { constants } from "node:fs";
import { EEXIST, EISDIR, ENOENT, ENOTDIR, type Statx } from "bun-uring";
import { complain, quote, strerror } from "../support/messages.ts";
import { type Content, CopyError } from "./content.ts";
import { type Files, hasPlaces, isSameFile } from "./files.ts";
import { type Loop, Turnstile } from "./loop.ts";
import type { FilePath } from "./path.ts";
import type { Progress } from "./progress.ts";

/** As many files are open at a time: small ones are copied by the dozen. */
const FILES_AT_ONCE = 64;
const OWNER_ALL = 0o700;
/** What a copy takes over of a mode without being asked to preserve it; of a directory the sticky bit as well. */
const FILE_MODE = 0o777;
const DIRECTORY_MODE = 0o1777;

/** How to copy. */
export interface CopyOptions {
  /** Directories too, and links and special files as what they are. */
  readonly recursive: boolean;
  /** With mode, owner and times. */
  readonly preserve: boolean;
  /** What is copied from one source could have to go where another's went. */
  readonly colliding: boolean;
}

/** Something to be copied. */
export interface Entry {
  readonly source: FilePath;
  readonly target: FilePath;
  /** The directory that the target is in was made by this copy: nothing can be in the way. */
  readonly fresh: boolean;
  /** What of the command line it belongs to; itself, if it stands there. */
  readonly operand: Entry | undefined;
}

/** A directory whose mode and times are set when everything is in it. */
interface Unfinished {
  readonly target: FilePath;
  readonly from: Statx;
}

/** Copies whatever it is given. Failures are told at once, and do not keep it from copying the rest. */
export class Copier {
  /** Whether everything was copied. */
  fine = true;
  readonly #loop: Loop;
  readonly #files: Files;
  readonly #content: Content;
  readonly #progress: Progress;
  readonly #options: CopyOptions;
  readonly #turns = new Turnstile(FILES_AT_ONCE);
  /** Directories found and not looked into yet. */
  readonly #found: Entry[] = [];
  readonly #unfinished: Unfinished[] = [];
  /** The directories that operands are copied to, which must not be copied themselves. */
  readonly #roots: { readonly statx: Statx; readonly operand: Entry }[] = [];
  /** What the command line's sources were copied to so far, and of which. */
  readonly #made = new Map<string, FilePath>();

  constructor(loop: Loop, files: Files, content: Content, progress: Progress, options: CopyOptions) {
    this.#loop = loop;
    this.#files = files;
    this.#content = content;
    this.#progress = progress;
    this.#options = options;
  }

  /** Copies all of `entries` and what is in them. */
  async copy(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) {
      await this.#begin(entry);
      // Where two would make the same file, the order says which one does.
      if (this.#options.colliding) await this.#settle();
    }
    await this.#settle();
    // The deepest were found last, and writing into a directory changes its times.
    for (const { target, from } of this.#unfinished.reverse()) this.#finish(target, from);
  }

  /** Copies all that was found, and what is found on the way. */
  async #settle(): Promise<void> {
    while (this.#found.length > 0 || this.#turns.inside > 0) {
      const directory = this.#found.pop();
      if (directory === undefined) await this.#turns.left();
      else await this.#lookInto(directory);
    }
  }

  async #lookInto(directory: Entry): Promise<void> {
    if (this.#loop.stopped) return;
    const { source, target, fresh } = directory;
    const names = this.#files.list(source);
    if (typeof names === "number") return this.#complain(`cannot access ${quote(source.bytes)}: ${strerror(names)}`);
    for (const name of names) {
      await this.#begin({
        source: source.join(name),
        target: target.join(name),
        fresh,
        operand: directory.operand ?? directory,
      });
    }
  }

  /** Begins with an entry as soon as not too many are in hand, and does not wait for its end. */
  async #begin(entry: Entry): Promise<void> {
    await this.#turns.enter();
    void this.#entry(entry).finally(() => this.#turns.leave());
  }

  async #entry(entry: Entry): Promise<void> {
    const { source, target } = entry;
    const { recursive } = this.#options;
    if (this.#loop.stopped) return;
    const from = await this.#files.stat(source, !recursive);
    if (typeof from === "number") return this.#complain(`cannot stat ${quote(source.bytes)}: ${strerror(from)}`);
    if (from.isDirectory() && !recursive) {
      return this.#complain(`-r not specified; omitting directory ${quote(source.bytes)}`);
    }
    // A regular file is written through a link, everything else takes the link's place.
    const there = entry.fresh ? -ENOENT : await this.#files.stat(target, from.isFile() || !recursive);
    if (typeof there === "number" && there !== -ENOENT) {
      return this.#complain(`cannot stat ${quote(target.bytes)}: ${strerror(there)}`);
    }
    const to = typeof there === "number" ? undefined : there;
    const refusal = await this.#refusal(entry, from, to);
    if (refusal !== undefined) return refusal === "" ? undefined : this.#complain(refusal);
    if (from.isDirectory()) return this.#directory(entry, from, to);
    if (recursive && from.isSymbolicLink()) return this.#link(entry, from, to);
    if (recursive && !from.isFile()) return this.#special(entry, from, to);
    return this.#regular(entry, from, to);
  }

  /** Why this must not be copied there; "" where that was said already. */
  async #refusal({ source, target, operand }: Entry, from: Statx, to: Statx | undefined): Promise<string | undefined> {
    const names = [quote(source.bytes), quote(target.bytes)];
    const root = operand && from.isDirectory() && this.#roots.find(({ statx }) => isSameFile(statx, from));
    if (root) {
      const { source, target } = root.operand;
      return `cannot copy a directory, ${quote(source.bytes)}, into itself, ${quote(target.bytes)}`;
    }
    if (to !== undefined) {
      if (await this.#isSame(source, from, to)) return `${names[0]} and ${names[1]} are the same file`;
      if (from.isDirectory() && !to.isDirectory()) {
        return `cannot overwrite non-directory ${names[1]} with directory ${names[0]}`;
      }
      if (!from.isDirectory() && to.isDirectory()) {
        return `cannot overwrite directory ${names[1]} with non-directory`;
      }
    }
    // Deeper down the later one wins, as it does where trees are copied one after the other.
    if (!this.#options.colliding || operand !== undefined || from.isDirectory()) return undefined;
    const other = this.#made.get(target.key);
    if (other === undefined) {
      this.#made.set(target.key, source);
      return undefined;
    }
    if (other.key !== source.key) return `will not overwrite just-created ${names[1]} with ${names[0]}`;
    this.#say(`warning: source file ${names[0]} specified more than once`);
    return "";
  }

  async #isSame(source: FilePath, from: Statx, to: Statx): Promise<boolean> {
    if (isSameFile(from, to)) return true;
    // A link that is copied over what it leads to would lead to itself.
    if (!from.isSymbolicLink() || to.isSymbolicLink()) return false;
    const end = await this.#files.stat(source, true);
    return typeof end !== "number" && isSameFile(end, to);
  }

  async #directory(entry: Entry, from: Statx, to: Statx | undefined): Promise<void> {
    const { target } = entry;
    if (to === undefined) {
      // Until everything is in it, it has to be open to its owner and need not be to others.
      const mode = this.#options.preserve ? OWNER_ALL : (from.mode & DIRECTORY_MODE) | OWNER_ALL;
      const result = await this.#files.mkdir(target, mode);
      if (result < 0) return this.#complain(`cannot create directory ${quote(target.bytes)}: ${strerror(result)}`);
    }
    if (entry.operand === undefined) {
      const statx = to ?? (await this.#files.stat(target, true));
      if (typeof statx !== "number") this.#roots.push({ statx, operand: entry });
    }
    if (this.#options.preserve || (to === undefined && (from.mode & OWNER_ALL) !== OWNER_ALL)) {
      this.#unfinished.push({ target, from });
    }
    this.#found.push({ ...entry, fresh: to === undefined });
  }

  #finish(target: FilePath, from: Statx): void {
    const result = this.#options.preserve
      ? this.#files.preservePath(target, from)
      : this.#files.chmod(target, from.mode & DIRECTORY_MODE & ~process.umask());
    if (result < 0) this.#complain(`preserving attributes of ${quote(target.bytes)}: ${strerror(result)}`);
  }

  async #link({ source, target }: Entry, from: Statx, to: Statx | undefined): Promise<void> {
    const text = this.#files.readLink(source);
    if (typeof text === "number") {
      return this.#complain(`cannot read symbolic link ${quote(source.bytes)}: ${strerror(text)}`);
    }
    if (to !== undefined && !(await this.#remove(target))) return;
    const result = await this.#files.symlink(text, target);
    if (result < 0) return this.#complain(`cannot create symbolic link ${quote(target.bytes)}: ${strerror(result)}`);
    if (this.#options.preserve) this.#finish(target, from);
  }

  async #special({ target }: Entry, from: Statx, to: Statx | undefined): Promise<void> {
    if (to !== undefined && !(await this.#remove(target))) return;
    const result = this.#files.makeSpecial(target, from);
    if (result < 0) return this.#complain(`cannot create special file ${quote(target.bytes)}: ${strerror(result)}`);
    if (this.#options.preserve) this.#finish(target, from);
    else this.#files.chmod(target, from.mode & FILE_MODE & ~process.umask());
  }

  async #remove(target: FilePath): Promise<boolean> {
    const result = await this.#files.unlink(target);
    if (result < 0) this.#complain(`cannot remove ${quote(target.bytes)}: ${strerror(result)}`);
    return result >= 0;
  }

  async #regular(entry: Entry, from: Statx, to: Statx | undefined): Promise<void> {
    const { source } = entry;
    const fd = await this.#files.open(source, constants.O_RDONLY, 0, !from.isFile());
    if (fd < 0) return this.#complain(`cannot open ${quote(source.bytes)} for reading: ${strerror(fd)}`);
    const target = await this.#create(entry, from, to);
    if (target >= 0) {
      await this.#transfer(entry, fd, target, from, to);
      const closed = await this.#files.close(target);
      if (closed < 0) this.#complain(`failed to close ${quote(entry.target.bytes)}: ${strerror(closed)}`);
    }
    await this.#files.close(fd);
  }

  /** Opens the target for writing, empty; negative where it cannot, which is told. */
  async #create({ target }: Entry, from: Statx, to: Statx | undefined): Promise<number> {
    const { O_WRONLY, O_CREAT, O_EXCL, O_TRUNC } = constants;
    // Until it has its owner, a file with its owner's mode could be read by somebody else's group.
    const mode = from.mode & (this.#options.preserve ? OWNER_ALL : FILE_MODE);
    const flags = to === undefined ? O_CREAT | O_EXCL : O_TRUNC;
    const fd = await this.#files.open(target, O_WRONLY | flags, mode, true);
    if (fd >= 0) return fd;
    if (fd === -EEXIST) {
      const link = await this.#files.stat(target, false);
      if (typeof link !== "number" && link.isSymbolicLink()) {
        this.#complain(`not writing through dangling symlink ${quote(target.bytes)}`);
        return fd;
      }
    }
    const result = fd === -EISDIR && target.namesDirectory ? -ENOTDIR : fd;
    this.#complain(`cannot create regular file ${quote(target.bytes)}: ${strerror(result)}`);
    return fd;
  }

  /** Fills the target, and gives it what else the source has. */
  async #transfer(entry: Entry, source: number, target: number, from: Statx, to: Statx | undefined): Promise<void> {
    const readAnywhere = hasPlaces(from);
    const writeAnywhere = to === undefined || hasPlaces(to);
    // statx counts blocks of 512 bytes, whatever the filesystem's own are.
    const sparse = from.isFile() && (to === undefined || to.isFile()) && from.blocks * 512 < from.size;
    try {
      const ends = { source, target, size: from.size, readAnywhere, writeAnywhere, sparse };
      const length = await this.#content.copy(ends);
      if (sparse) {
        const result = await this.#files.truncate(target, length);
        if (result < 0) throw new CopyError("writing", result);
      }
    } catch (error) {
      if (!(error instanceof CopyError)) throw error;
      const name = quote((error.doing === "reading" ? entry.source : entry.target).bytes);
      this.#complain(
        error.doing === "interrupted" ? `${name} is incomplete` : `error ${error.doing} ${name}: ${error.message}`,
      );
      return;
    }
    if (!this.#options.preserve) return;
    const result = this.#files.preserve(target, from);
    if (result < 0) this.#complain(`preserving attributes of ${quote(entry.target.bytes)}: ${strerror(result)}`);
  }

  #complain(text: string): void {
    this.fine = false;
    this.#say(text);
  }

  #say(text: string): void {
    this.#progress.clear();
    complain("cp", text);
  }
}
