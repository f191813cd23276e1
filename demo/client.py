"""The official Python MCP client, with a bearer token.

One `Caller` is one user or agent at one server. Both protocol eras are spoken: `legacy` opens with
an `initialize` handshake and holds a session, `auto` asks `server/discover` and is stateless where
the server is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client


@dataclass(frozen=True)
class Outcome:
    """What the client saw: `code` is `allow`, or the reason that the sidecar gave."""

    code: str
    text: str
    data: dict[str, Any] | None = None


@asynccontextmanager
async def connect(url: str, token: str | None, era: str = "auto") -> AsyncIterator[Client]:
    """An open client; `era` is `auto`, `legacy` or `2026-07-28`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=10, trust_env=False) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=era, raise_exceptions=False) as client:
            yield client


async def call(
    url: str, token: str | None, tool: str, arguments: dict[str, Any], era: str = "auto"
) -> Outcome:
    """Connects, calls one tool, and says what happened."""
    try:
        async with connect(url, token, era) as client:
            return await call_with(client, tool, arguments)
    except BaseExceptionGroup as group:
        return _failure(_first(group))
    except (MCPError, httpx2.HTTPError, RuntimeError) as error:
        return _failure(error)


async def call_with(client: Client, tool: str, arguments: dict[str, Any]) -> Outcome:
    """Calls one tool on an open client."""
    try:
        result = await client.call_tool(tool, arguments)
    except MCPError as error:
        return _failure(error)
    text = " ".join(getattr(block, "text", "") for block in result.content)
    return Outcome("tool_error" if result.is_error else "allow", text)


async def tools(url: str, token: str | None, era: str = "auto") -> list[str]:
    """The names of the tools that this caller is shown, sorted."""
    try:
        async with connect(url, token, era) as client:
            return sorted(tool.name for tool in (await client.list_tools()).tools)
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _failure(error: BaseException) -> Outcome:
    data = error.error.data if isinstance(error, MCPError) else None
    if isinstance(data, dict) and "code" in data:
        return Outcome(str(data["code"]), error.error.message, data)
    return Outcome(type(error).__name__, str(error))
