/** Every case, by family. */
import type { Cases } from "../harness.ts";
import { descriptors } from "./descriptors.ts";
import { mkdir, mkdtemp, readdir, remove } from "./directories.ts";
import { copyFile, cp, links } from "./links.ts";
import { handle, open } from "./open.ts";
import { readFile } from "./readfile.ts";
import { reading, writing } from "./readwrite.ts";
import { big, names, special } from "./special.ts";
import { access, permissions, stat, utimes } from "./stat.ts";
import { readStreams, writeStreams } from "./streams.ts";
import { truncate, writeFile } from "./writefile.ts";

/** Families of cases, each of them a table. */
export const families: Readonly<Record<string, Cases>> = {
  open,
  handle,
  reading,
  writing,
  readFile,
  writeFile,
  truncate,
  stat,
  access,
  permissions,
  utimes,
  mkdir,
  mkdtemp,
  readdir,
  remove,
  links,
  copyFile,
  cp,
  readStreams,
  writeStreams,
  descriptors,
  special,
  names,
  big,
};
