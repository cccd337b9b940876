/** TCP and unix sockets in the shape of Bun.listen and Bun.connect, on io_uring where there is one. */
import { backend } from "../async/backend.ts";
import { Connecting } from "./connect.ts";
import { Handlers } from "./handlers.ts";
import { hub } from "./hub.ts";
import { baseByBun, baseOnPath, Listener } from "./listener.ts";
import { refuseTls, wantedOf } from "./options.ts";

export { backend, type Backend } from "../async/backend.ts";

/**
 * Listens for connections, as `Bun.listen` does with the same options.
 *
 * ```ts
 * import { listen } from "bun-uring/net";
 *
 * using server = listen({
 *   hostname: "127.0.0.1",
 *   port: 0,
 *   socket: {
 *     data(socket, bytes) {
 *       socket.write(bytes);
 *     },
 *   },
 * });
 * console.log(server.port > 0);
 * ```
 *
 * @param options where to listen and who is told. `tls` is refused where {@link backend} is `"uring"`.
 * @throws as `Bun.listen`; TypeError `ERR_URING_UNSUPPORTED` for `tls`.
 * @kernel 5.7
 */
export function listen<Data = undefined>(options: Bun.TCPSocketListenOptions<Data>): Bun.TCPSocketListener<Data>;
/** The same at a path. */
export function listen<Data = undefined>(options: Bun.UnixSocketOptions<Data>): Bun.UnixSocketListener<Data>;
export function listen(options: Bun.TCPSocketListenOptions<unknown> | Bun.UnixSocketOptions<unknown>): unknown {
  if (backend() === "bun") return Bun.listen(options as Bun.TCPSocketListenOptions<unknown>);
  refuseTls(options);
  const wanted = wantedOf(options);
  if (wanted === undefined) return Bun.listen(options as Bun.TCPSocketListenOptions<unknown>);
  const { unix, socket, data, halfOpen } = wanted;
  const shared = hub();
  const base = unix === undefined ? baseByBun(options as Bun.TCPSocketListenOptions<unknown>) : baseOnPath(unix);
  return new Listener(shared, base, socket, data, halfOpen);
}

/**
 * Connects, as `Bun.connect` does with the same options.
 *
 * ```ts
 * import { connect } from "bun-uring/net";
 *
 * const refused = await connect({ hostname: "127.0.0.1", port: 1, socket: { data() {} } }).catch((error) => error);
 * console.log(refused.code); // ECONNREFUSED
 * ```
 *
 * @param options where to connect to and who is told. `tls` is refused where {@link backend} is `"uring"`.
 * @returns rejects as the promise of `Bun.connect`.
 * @throws as `Bun.connect`; TypeError `ERR_URING_UNSUPPORTED` for `tls`.
 * @kernel 5.7
 */
export function connect<Data = undefined>(options: Bun.TCPSocketConnectOptions<Data>): Promise<Bun.Socket<Data>>;
/** The same at a path. */
export function connect<Data = undefined>(options: Bun.UnixSocketOptions<Data>): Promise<Bun.Socket<Data>>;
export function connect(options: Bun.TCPSocketConnectOptions<unknown> | Bun.UnixSocketOptions<unknown>): unknown {
  if (backend() === "bun") return Bun.connect(options as Bun.TCPSocketConnectOptions<unknown>);
  refuseTls(options);
  const wanted = wantedOf(options);
  if (wanted === undefined) return Bun.connect(options as Bun.TCPSocketConnectOptions<unknown>);
  const { unix, hostname = "", port = 0, socket, data, halfOpen } = wanted;
  const target = unix === undefined ? { hostname, port } : { unix };
  return new Connecting(target, new Handlers(socket), data, halfOpen).promise;
}
