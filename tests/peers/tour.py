"""The official Python MCP client asks a server all there is to ask: `tour.py URL TOKEN ERA STEPS`, one JSON object out.

STEPS is a JSON list of `["call", TOOL, ARGUMENTS]`, `["prompt", NAME, ARGUMENTS]`, `["read", URI]` and
`["complete", PROMPT, ARGUMENT, VALUE]`. What belongs to one era only, as how long an answer may be kept, is left out.
"""

import asyncio
import json
import sys

import httpx2
from mcp import MCPError, types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

OF_ONE_ERA = {"ttlMs", "cacheScope", "resultType", "nextCursor", "_meta"}


def shared(result):
    said = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in said.items() if key not in OF_ONE_ERA}


async def asked(client, step):
    match step:
        case ["call", tool, arguments]:
            progress = []

            async def heard(done, total, message):
                progress.append([done, total])

            result = await client.call_tool(tool, arguments, progress_callback=heard)
            return {**shared(result), "progress": progress}
        case ["prompt", name, arguments]:
            return shared(await client.get_prompt(name, arguments))
        case ["read", uri]:
            return shared(await client.read_resource(uri))
        case ["complete", prompt, name, value]:
            ref = types.PromptReference(type="ref/prompt", name=prompt)
            return shared(await client.complete(ref, {"name": name, "value": value}))
        case _:
            raise SystemExit(f"no such step: {step}")


async def main(url, token, era, steps):
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=era, raise_exceptions=False) as client:
            said = {
                "revision": client.protocol_version,
                "tools": shared(await client.list_tools()),
                "prompts": shared(await client.list_prompts()),
                "resources": shared(await client.list_resources()),
                "templates": shared(await client.list_resource_templates()),
                "steps": [],
            }
            for step in json.loads(steps):
                try:
                    said["steps"].append(await asked(client, step))
                except MCPError as error:
                    said["steps"].append({"error": error.error.code, "message": error.error.message})
    print(json.dumps(said))


asyncio.run(main(*sys.argv[1:]))
