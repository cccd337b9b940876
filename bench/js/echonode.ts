// TCP echo server on node:net: echonode.ts PORT.
import { createServer } from "node:net";

createServer({ noDelay: true }, (socket) => {
  socket.on("data", (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("error", () => socket.destroy());
}).listen(Number(process.argv[2]), "127.0.0.1");
