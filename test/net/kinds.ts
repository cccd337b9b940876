/** What the suite and the programs that it starts call things. */

/** What both implementations have. */
export type Net = Pick<typeof Bun, "listen" | "connect">;
/** A listener of either. */
export type Listener = Bun.TCPSocketListener<unknown> | Bun.UnixSocketListener<unknown>;
/** A connection of either. */
export type Socket = Bun.Socket<unknown>;
/** What is called when something happens to a connection. */
export type Handlers = Bun.SocketHandler<unknown>;
