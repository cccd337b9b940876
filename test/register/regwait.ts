/** A program that waits as registered, for 300 ms, and prints its errno: with SIGUSR1 blocked if its argument is "mask". */
import { Ring } from "../../src/index.ts";

process.on("SIGUSR1", () => {});
using ring = new Ring(4, { rDisabled: true });
const waits = ring.registerWaitReg(1);
ring.enableRings();
// SIGUSR1 is 10: bit n - 1 is signal n.
waits.set(0, 300, process.argv[2] === "mask" ? { sigmask: 1n << 9n } : {});
ring.submitAndWaitReg(1, 0);
console.log(ring.errno);
