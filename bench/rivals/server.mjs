// Node's Socket.IO server as `make bench-sockets` drives it: whoever names a sale in the CONNECT
// joins its room and is told of it; a line on standard input sends one `sale` event to the room.
import { createInterface } from "node:readline";
import { Server } from "socket.io";

const [port, sale] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const io = new Server(port, { perMessageDeflate: false, transports: ["websocket"], serveClient: false });

io.on("connection", (socket) => {
  socket.join(`sale-${socket.handshake.auth.watch}`);
  socket.emit("watched", { ok: true, sale });
});
createInterface({ input: process.stdin })
  .on("line", () => io.to("sale-1").emit("sale", sale))
  .on("close", () => process.exit(0));
console.log("listening");
