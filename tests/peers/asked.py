"""The official Python MCP client, asked things by its server: `asked.py URL TOKEN ERA`, one JSON object out.

It calls a tool that asks for the client's model, and one that asks its user, and tells what came of
each and what the client was asked.
"""

import asyncio
import json
import sys

import httpx2
from mcp import MCPError, types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

CALLS = {
    "legacy": {
        "sampling": ("test_sampling", {"prompt": "capital?"}),
        "elicitation": ("test_elicitation", {"message": "your name?"}),
    },
    "2026-07-28": {
        "sampling": ("test_input_required_result_sampling", {}),
        "elicitation": ("test_input_required_result_elicitation", {}),
    },
}


async def main(url, token, era):
    asked = []

    async def sample(context, params):
        asked.append("sampling")
        content = types.TextContent(type="text", text="Paris-model")
        return types.CreateMessageResult(role="assistant", content=content, model="m")

    async def elicit(context, params):
        asked.append("elicitation")
        return types.ElicitResult(action="accept", content={"name": "Ada-user", "username": "Ada-user"})

    async def called(client, tool, arguments):
        try:
            result = await client.call_tool(tool, arguments)
        except MCPError as error:
            data = error.error.data if isinstance(error.error.data, dict) else {}
            return {"error": error.error.code, "code": data.get("code")}
        text = " ".join(part.text for part in result.content if part.type == "text")
        return {"is_error": bool(result.is_error), "text": text}

    headers = {"Authorization": f"Bearer {token}"}
    said = {}
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(
            transport, mode=era, sampling_callback=sample, elicitation_callback=elicit
        ) as client:
            for kind, (tool, arguments) in CALLS[era].items():
                said[kind] = await called(client, tool, arguments)
    said["asked"] = asked
    print(json.dumps(said))


asyncio.run(main(*sys.argv[1:]))
