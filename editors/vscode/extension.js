// Starts `latchkey lsp` for the workspaces that hold a policy project, and nothing else.
"use strict";

const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = async () => {
  const command = workspace.getConfiguration("latchkey").get("path");
  const server = { command, args: ["lsp", "--stdio"] };
  const documentSelector = [
    { scheme: "file", language: "yaml" },
    { scheme: "file", pattern: "**/latchkey.toml" },
  ];
  client = new LanguageClient("latchkey", "Latchkey", server, { documentSelector });
  await client.start();
};

exports.deactivate = () => client?.stop();
