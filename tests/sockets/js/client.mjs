// The stock client as a child process: commands come as JSON lines on stdin, what happens goes out
// as JSON lines on stdout. Arguments: URL, the client's options as JSON.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, options] = process.argv.slice(2);
const socket = io(url, JSON.parse(options));
const say = (what, ...args) => console.log(JSON.stringify([what, ...args]));

socket.on("connect", () => say("connect", socket.id));
socket.on("connect_error", (error) => say("connect_error", error.message, error.data ?? null));
socket.on("disconnect", (reason) => say("disconnect", reason));
socket.io.engine.on("close", (reason, details) =>
  say("close", reason, details?.description?.code ?? details?.code ?? null),
);
let acknowledge; // the last event that asks for it
socket.onAny((name, ...args) => {
  if (typeof args.at(-1) === "function") acknowledge = args.pop();
  say("event", name, ...args);
});

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [verb, ...args] = JSON.parse(line);
    if (verb === "emit") socket.emit(...args, (...reply) => say("ack", args[0], ...reply));
    else if (verb === "acknowledge") acknowledge(...args);
    else if (verb === "transport") say("transport", socket.io.engine.transport.name);
    else if (verb === "disconnect") socket.disconnect();
  })
  .on("close", () => process.exit(0));
