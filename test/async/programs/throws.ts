// One of ten handlers throws. Prints what the process has caught, and how many of the others were called.
import { AsyncRing } from "../../../src/async/asyncring.ts";

const ring = new AsyncRing();
const caught: string[] = [];
process.on("uncaughtException", (error) => caught.push(error.message));
let others = 0;
for (let i = 0; i < 10; i++) {
  ring
    .ticket(() => {
      if (i === 0) throw new Error("first");
      others++;
    })
    .nop();
}
await Bun.sleep(20);
console.log(JSON.stringify({ caught, others }));
