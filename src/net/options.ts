/** What listen() and connect() are given. What is not as the types have it is Bun's to refuse, or to make sense of. */
import { typeError } from "../errors.ts";
import { areHandlers } from "./handlers.ts";

/** Options as the types have them, for whichever of the two. */
export interface Wanted {
  readonly socket: Bun.SocketHandler<unknown>;
  readonly data: unknown;
  readonly halfOpen: boolean;
  readonly unix: string | undefined;
  readonly hostname: string | undefined;
  readonly port: number | undefined;
}

const flags = ["exclusive", "allowHalfOpen", "reusePort", "ipv6Only"] as const;
const MOST_PORT = 65_535;

/** Reads options; undefined where they are out of the ordinary. */
export function wantedOf(options: unknown): Wanted | undefined {
  if (typeof options !== "object" || options === null) return undefined;
  const given = options as Record<string, unknown>;
  const { socket, unix, hostname, fd, tls } = given;
  if (!areHandlers(socket) || fd !== undefined) return undefined;
  if (tls !== undefined && tls !== null && tls !== false) return undefined;
  for (const flag of flags) {
    const value = given[flag];
    if (value !== undefined && typeof value !== "boolean") return undefined;
  }
  const common = { socket, data: given["data"], halfOpen: given["allowHalfOpen"] === true };
  if (typeof unix === "string" && unix !== "") return { ...common, unix, hostname: undefined, port: undefined };
  if (unix !== undefined && unix !== null) return undefined;
  const port = portOf(given["port"]);
  if (typeof hostname !== "string" || hostname === "" || hostname.includes("\0") || port === undefined)
    return undefined;
  return { ...common, unix: undefined, hostname, port };
}

/** A port as a number, or as an environment variable has it. */
function portOf(value: unknown): number | undefined {
  const port = typeof value === "string" && /^\d{1,5}$/.test(value) ? Number(value) : value;
  return Number.isInteger(port) && (port as number) >= 0 && (port as number) <= MOST_PORT
    ? (port as number)
    : undefined;
}

/** Refuses TLS. @throws TypeError `ERR_URING_UNSUPPORTED`. */
export function refuseTls(options: unknown): void {
  if (typeof options !== "object" || options === null) return;
  const { tls } = options as { tls?: unknown };
  if (tls !== true && (typeof tls !== "object" || tls === null)) return;
  throw typeError(
    "ERR_URING_UNSUPPORTED",
    "Cannot use tls: bun-uring/net has none; use Bun.listen and Bun.connect for it",
  );
}
