"""The official Python MCP client: `client.py URL TOKEN ERA TOOL ARGUMENTS DENIED`, one JSON object out."""

import asyncio
import json
import sys

import httpx2
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client


async def main(url, token, era, tool, arguments, denied):
    headers = {"Authorization": f"Bearer {token}"}
    said = {}
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=era, raise_exceptions=False) as client:
            said["tools"] = sorted(tool.name for tool in (await client.list_tools()).tools)
            result = await client.call_tool(tool, json.loads(arguments))
            said["first"] = bool(result.content) or not result.is_error
            try:
                await client.call_tool(denied, {})
                said["denied"] = None
            except MCPError as error:
                data = error.error.data or {}
                said["denied"] = [error.error.code, error.error.message, data.get("code")]
            result = await client.call_tool(tool, json.loads(arguments))
            said["again"] = bool(result.content) or not result.is_error
    print(json.dumps(said))


asyncio.run(main(*sys.argv[1:]))
