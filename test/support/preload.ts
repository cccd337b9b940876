/**
 * Loaded before every test file (bunfig.toml): how long a test may take that says nothing of it. Busy machines are many
 * times slower than idle ones, and emulated ones more than that.
 */
import { setDefaultTimeout } from "bun:test";
import { patience } from "./patience.ts";

setDefaultTimeout(30_000 * patience);
