// Loaded before a suite: has this thread's connections receive in the way that URING_TEST_WAY names.
import { hub } from "../../../src/net/hub.ts";
import { Receives, type Way } from "../../../src/net/receives.ts";

const way = process.env["URING_TEST_WAY"] as Way;
const receives = new Receives(hub().reactor, way);
if (receives.way !== way) throw new Error(`this kernel does not receive by ${way}`);
(hub() as { receives: Receives }).receives = receives;
