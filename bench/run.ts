// All benchmarks: `bun run bench [NAME...] [--smoke] [--json]`.

import { alloc } from "./alloc.ts";
import { asyncReads } from "./async.ts";
import { echo } from "./echo.ts";
import { files } from "./files.ts";
import { main } from "./harness.ts";
import { held } from "./held.ts";
import { nop } from "./nop.ts";
import { read } from "./read.ts";
import { sqpoll } from "./sqpoll.ts";

await main([nop, read, asyncReads, alloc, sqpoll, files, echo, held]);
