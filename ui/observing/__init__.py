"""How the web server lets itself be watched: health, metrics, request ids, traces."""
