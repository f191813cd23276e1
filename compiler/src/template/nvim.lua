vim.lsp.config("latchkey", {
  cmd = { "latchkey", "lsp" },
  filetypes = { "yaml", "toml" },
  root_markers = { "latchkey.toml" },
})
vim.lsp.enable("latchkey")
