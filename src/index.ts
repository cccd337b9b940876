/** bun-uring: io_uring for Bun. */
export { Ring } from "./ring/ring.ts";
