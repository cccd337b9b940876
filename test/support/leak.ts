/** The control of rings.ts: rings that nobody closes. Argument: how many. */
import { Ring } from "../../src/index.ts";
import { descriptorCount, mappingCount } from "../syscall/proc.ts";
import type { Left } from "./rings.ts";

const kept: Ring[] = [new Ring(8)];
const before = [descriptorCount(), mappingCount()] as const;
for (let i = 0; i < Number(process.argv[2]); i++) kept.push(new Ring(8));
const left: Left = {
  descriptors: [before[0], descriptorCount()],
  mappings: [before[1], mappingCount()],
  resident: [0, kept.length],
};
console.log(JSON.stringify(left));
