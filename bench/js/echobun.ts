// TCP echo server on Bun.listen: echobun.ts PORT. What a connection cannot take is kept until it can.
const kept = new Map<object, Uint8Array<ArrayBuffer>>();

Bun.listen({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
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
