/** What the modules that people swap in run on in a process of the tests. */
import type { Backend } from "../../src/async/backend.ts";

/**
 * What they have to run on in this process: io_uring, unless whoever started it has refused io_uring to it and says so
 * in URING_TEST_BACKEND, as surroundings.ts does.
 */
export const expectedBackend: Backend = process.env["URING_TEST_BACKEND"] === "bun" ? "bun" : "uring";
