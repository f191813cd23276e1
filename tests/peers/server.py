"""A server of the official Python SDK on standard input and output; it speaks both eras."""

import os

from mcp.server.mcpserver import MCPServer

server = MCPServer("tests")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@server.tool()
def whoami() -> int:
    """The process."""
    return os.getpid()


@server.tool()
def forbidden() -> str:
    """What nobody may call."""
    return "reached"


server.run(transport="stdio")
