// The official TypeScript clients: `client.mjs CLIENT URL TOKEN TOOL ARGUMENTS DENIED`, one JSON object out.
// CLIENT is `sdk`, `client`, or `client-REVISION`, which speaks no other.
const [, , which, url, token, tool, args, denied] = process.argv;
const requestInit = { headers: { Authorization: `Bearer ${token}` } };
let Client, Transport, options = {};
if (which === "sdk") {
  ({ Client } = await import("@modelcontextprotocol/sdk/client/index.js"));
  ({ StreamableHTTPClientTransport: Transport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js"));
} else {
  ({ Client, StreamableHTTPClientTransport: Transport } = await import("@modelcontextprotocol/client"));
  const pin = which.slice("client-".length);
  options = { versionNegotiation: { mode: pin ? { pin } : "auto" } };
}
const client = new Client({ name: "tests", version: "1.0.0" }, options);
await client.connect(new Transport(new URL(url), { requestInit }));
const said = {};
said.tools = (await client.listTools()).tools.map((it) => it.name).sort();
const call = async (name, args) => client.callTool({ name, arguments: args });
// A tool that fails on this machine has been called all the same.
const answered = (result) => result.content.length > 0 || !result.isError;
said.first = answered(await call(tool, JSON.parse(args)));
try {
  await call(denied, {});
  said.denied = null;
} catch (error) {
  said.denied = [error.code, error.message, error.data?.code];
}
said.again = answered(await call(tool, JSON.parse(args)));
await client.close();
console.log(JSON.stringify(said));
process.exit(0);
