// The protocol library of Visual Studio Code drives `latchkey lsp` over stdio, on a copy of the
// policies. Usage: node lsp.mjs LATCHKEY FOLDER
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import protocol from "vscode-languageserver-protocol/node";

const [program, folder] = process.argv.slice(2);
const root = pathToFileURL(folder).toString();
const uri = (file) => pathToFileURL(join(folder, file)).toString();
const read = (file) => readFileSync(join(folder, file), "utf8");

const server = spawn(program, ["lsp", "--stdio"], { stdio: ["pipe", "pipe", "pipe"] });
let complaints = "";
server.stderr.on("data", (bytes) => (complaints += bytes));
const ended = new Promise((resolve) => server.on("exit", resolve));
const connection = protocol.createProtocolConnection(
  new protocol.StreamMessageReader(server.stdout),
  new protocol.StreamMessageWriter(server.stdin),
);
connection.onError((error) => { throw error; });

// What was told last of each document, and who waits for more.
const told = new Map();
const waiting = new Set();
connection.onNotification(protocol.PublishDiagnosticsNotification.type, (params) => {
  told.set(params.uri, params.diagnostics);
  for (const look of waiting) look();
});
const until = (file, fits) => new Promise((resolve) => {
  const look = () => {
    const found = told.get(uri(file));
    if (found === undefined || !fits(found)) return;
    waiting.delete(look);
    resolve(found);
  };
  waiting.add(look);
  look();
});
const registered = new Promise((resolve) => {
  connection.onRequest(protocol.RegistrationRequest.type, (params) => { resolve(params); });
});
connection.listen();

const answer = await connection.sendRequest(protocol.InitializeRequest.type, {
  processId: process.pid,
  rootUri: root,
  workspaceFolders: [{ uri: root, name: "policies" }],
  capabilities: {
    general: { positionEncodings: ["utf-16"] },
    workspace: { didChangeWatchedFiles: { dynamicRegistration: true } },
    textDocument: { documentSymbol: { hierarchicalDocumentSymbolSupport: true } },
  },
});
assert.equal(answer.capabilities.positionEncoding, "utf-16");
await connection.sendNotification(protocol.InitializedNotification.type, {});
assert.equal((await registered).registrations[0].method, "workspace/didChangeWatchedFiles");

// JavaScript counts in UTF-16, as the protocol does.
const place = (text, offset) => {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length - 1, character: before.at(-1).length };
};
const offset = (text, { line, character }) =>
  text.split("\n").slice(0, line).reduce((sum, it) => sum + it.length + 1, character);
const cut = (text, range) => text.slice(offset(text, range.start), offset(text, range.end));
const applied = (text, edits) => [...edits]
  .sort((a, b) => offset(text, b.range.start) - offset(text, a.range.start))
  .reduce((out, edit) =>
    out.slice(0, offset(text, edit.range.start)) + edit.newText
      + out.slice(offset(text, edit.range.end)), text);
let version = 0;
const change = (file, text) => {
  version += 1;
  const method = version === 1
    ? protocol.DidOpenTextDocumentNotification.type
    : protocol.DidChangeTextDocumentNotification.type;
  const textDocument = { uri: uri(file), languageId: "yaml", version, text };
  return connection.sendNotification(method, { textDocument, contentChanges: [{ text }] });
};

// A mistake that is not saved, behind a character of two units.
const file = "access/payments.yaml";
const good = read(file);
const wide = good.replace("bindings:\n", "bindings:\n  wide: {reason: \"\u{1f600}\", who: [alice], in: acme/payments, roles: [payments-veiwer]}\n");
assert.notEqual(wide, good);
await change(file, wide);
const [mistake] = await until(file, (found) => found.some((it) => it.code === "LK1003"));
assert.equal(cut(wide, mistake.range), "payments-veiwer");
const actions = await connection.sendRequest(protocol.CodeActionRequest.type, {
  textDocument: { uri: uri(file) },
  range: mistake.range,
  context: { diagnostics: [mistake] },
});
const fix = actions.find((it) => it.title.includes("payments-viewer"));
const fixed = applied(wide, fix.edit.changes[uri(file)]);
assert.ok(fixed.includes("roles: [payments-viewer]}"), fixed);
await change(file, fixed);
await until(file, (found) => found.every((it) => it.severity !== 1));
await change(file, good);
await until(file, (found) => found.length === 0);

// Questions about a name.
const at = { textDocument: { uri: uri(file) }, position: place(good, good.indexOf("payments-refunder") + 3) };
const [declared] = await connection.sendRequest(protocol.DefinitionRequest.type, at);
const declaring = fileURLToPath(declared.uri);
assert.equal(cut(readFileSync(declaring, "utf8"), declared.range), "payments-refunder");
const context = { includeDeclaration: true };
const places = await connection.sendRequest(protocol.ReferencesRequest.type, { ...at, context });
assert.ok(places.length >= 2);
const hover = await connection.sendRequest(protocol.HoverRequest.type, at);
assert.ok(hover.contents.value.includes("refund-bot"), hover.contents.value);
const symbols = await connection.sendRequest(protocol.DocumentSymbolRequest.type, { textDocument: at.textDocument });
assert.deepEqual(symbols.map((it) => it.name), ["bindings", "rules"]);
const found = await connection.sendRequest(protocol.WorkspaceSymbolRequest.type, { query: "refund" });
assert.ok(found.some((it) => it.name === "payments/refund"));

// What fits a half-typed line.
const typing = good.replace("when: args.amount <= 100", "when: args.am");
await change(file, typing);
const position = place(typing, typing.indexOf("args.am") + 7);
const fitting = await connection.sendRequest(protocol.CompletionRequest.type, { ...at, position });
const amount = fitting.items.find((it) => it.label === "amount");
assert.equal(applied(typing, [amount.textEdit]), typing.replace("args.am", "args.amount"));
await change(file, good);

// A new name in every file: the client writes, the server does not.
const edit = await connection.sendRequest(protocol.RenameRequest.type, { ...at, newName: "payments-returner" });
assert.ok(Object.keys(edit.changes).length >= 2, JSON.stringify(edit));
for (const [document, edits] of Object.entries(edit.changes)) {
  const path = fileURLToPath(document);
  const text = readFileSync(path, "utf8");
  assert.ok(!text.includes("payments-returner"));
  writeFileSync(path, applied(text, edits));
}
await assert.rejects(
  connection.sendRequest(protocol.RenameRequest.type, { ...at, newName: "Not A Name" }),
  /is not a name/,
);

await connection.sendRequest(protocol.ShutdownRequest.type);
await connection.sendNotification(protocol.ExitNotification.type);
assert.equal(await ended, 0);
assert.equal(complaints, "");
console.log("driven");
process.exit(0);
