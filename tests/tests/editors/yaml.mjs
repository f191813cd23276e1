// The YAML server that most editors use reads files with a schema, and prints what it finds: one
// JSON object from file to messages. Usage: node yaml.mjs SERVER SCHEMA FILE...
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import protocol from "vscode-languageserver-protocol/node";

const [script, schema, ...files] = process.argv.slice(2);
const server = spawn(process.execPath, [script, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
const connection = protocol.createProtocolConnection(
  new protocol.StreamMessageReader(server.stdout),
  new protocol.StreamMessageWriter(server.stdin),
);
const yaml = { validate: true, schemaStore: { enable: false } };
const settings = { yaml, http: {}, "[yaml]": {}, editor: {}, files: {} };
connection.onRequest("workspace/configuration", (params) =>
  params.items.map((it) => settings[it.section] ?? null));
connection.onRequest("client/registerCapability", () => null);
// By request and not by a pattern: patterns pass by folders whose names start with a dot.
connection.onRequest("custom/schema/request", () => pathToFileURL(schema).toString());
const waiting = new Map();
connection.onNotification(protocol.PublishDiagnosticsNotification.type, (params) => {
  waiting.get(params.uri)?.(params.diagnostics);
});
connection.listen();
await connection.sendRequest(protocol.InitializeRequest.type, {
  processId: process.pid,
  rootUri: null,
  workspaceFolders: null,
  capabilities: { workspace: { configuration: true } },
});
await connection.sendNotification(protocol.InitializedNotification.type, {});
await connection.sendNotification("yaml/registerCustomSchemaRequest");
await connection.sendNotification("workspace/didChangeConfiguration", { settings });
const found = {};
for (const file of files) {
  const uri = pathToFileURL(file).toString();
  const told = new Promise((resolve) => waiting.set(uri, resolve));
  await connection.sendNotification(protocol.DidOpenTextDocumentNotification.type, {
    textDocument: { uri, languageId: "yaml", version: 1, text: readFileSync(file, "utf8") },
  });
  found[file] = (await told).map((it) => it.message);
}
console.log(JSON.stringify(found));
process.exit(0);
