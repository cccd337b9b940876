// Echo server on node:net: echonode.ts PORT|PATH.
import { createServer } from "node:net";

const where = process.argv[2] ?? "";
const place = where.startsWith("/") ? { path: where } : { host: "127.0.0.1", port: Number(where) };

createServer({ noDelay: true }, (socket) => {
  socket.on("data", (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("error", () => socket.destroy());
}).listen(place);
