// Echo server on Bun.listen, or on listen of bun-uring/net: echolisten.ts bun|uring PORT|PATH. What a connection cannot
// take is kept until it can.
const [, , which, where = ""] = process.argv;
const kept = new Map<object, Uint8Array<ArrayBuffer>>();
const place = where.startsWith("/") ? { unix: where } : { hostname: "127.0.0.1", port: Number(where) };

async function library(): Promise<typeof Bun.listen> {
  const { backend, listen } = await import("bun-uring/net");
  if (backend() !== "uring") throw new Error("Cannot compare: there is no io_uring here");
  return listen;
}

const listen = which === "uring" ? await library() : Bun.listen;

listen({
  ...(place as { hostname: string; port: number }),
  socket: {
    data(socket, bytes) {
      const waiting = kept.get(socket);
      if (waiting !== undefined) {
        const joined = new Uint8Array(waiting.length + bytes.length);
        joined.set(waiting);
        joined.set(bytes, waiting.length);
        kept.set(socket, joined);
        return;
      }
      const sent = socket.write(bytes);
      if (sent < bytes.length) kept.set(socket, bytes.slice(Math.max(sent, 0)));
    },
    drain(socket) {
      const waiting = kept.get(socket);
      if (waiting === undefined) return;
      const sent = socket.write(waiting);
      if (sent === waiting.length) kept.delete(socket);
      else if (sent > 0) kept.set(socket, waiting.subarray(sent));
    },
    close(socket) {
      kept.delete(socket);
    },
    error(socket) {
      kept.delete(socket);
    },
  },
});
