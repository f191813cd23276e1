// WebSockets by `ws`, one JSON object a line: `websocket.mjs server`, or `websocket.mjs client URL TOKEN`.
import { WebSocket, WebSocketServer } from "ws";
const [, , role, url, token] = process.argv;
const say = (object) => console.log(JSON.stringify(object));
const ends = (socket) => socket.on("close", (code, reason) => say({ code, reason: reason.toString() }));
if (role === "server") {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server.on("listening", () => say({ port: server.address().port }));
  server.on("connection", (socket) => {
    ends(socket);
    socket.on("message", (data, binary) => {
      // How a test makes it break off, with and without the end of the stream.
      if (`${data}` === "leave") socket.terminate();
      else if (`${data}` === "reset") socket._socket.resetAndDestroy();
      else socket.send(data, { binary });
    });
  });
} else {
  const socket = new WebSocket(url, { headers: { Authorization: `Bearer ${token}` } });
  socket.on("error", (error) => say({ error: error.message }));
  socket.on("open", () => socket.send("hello"));
  socket.on("message", (data) => say({ said: `${data}` }));
  ends(socket);
  process.stdin.on("data", (data) => socket.send(`${data}`.trim()));
  socket.on("close", () => process.exit(0));
}
