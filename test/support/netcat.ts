/** Tests with nc(1) as a client. */
import { type Declare, needsThat } from "./kernel.ts";

/** Whether there is an nc(1), and it is netcat-openbsd's: others know other options. */
function hasNetcat(): boolean {
  if (Bun.which("nc") === null) return false;
  const { stdout, stderr } = Bun.spawnSync(["nc", "-h"]);
  return `${stdout}${stderr}`.startsWith("OpenBSD netcat");
}

/** Declares a test that needs it. */
export const netcat: Declare = needsThat(hasNetcat(), "nc(1), of netcat-openbsd");
