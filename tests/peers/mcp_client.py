"""The official MCP client, as a program: what it sees, as JSON.

    TOKEN=... python mcp_client.py URL ERA list | call TOOL ARGUMENTS
"""

import asyncio
import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "demo"))

import client  # noqa: E402

url, era, what, *rest = sys.argv[1:]
token = os.environ["TOKEN"]
if what == "list":
    seen = asyncio.run(client.tools(url, token, era))
else:
    outcome = asyncio.run(client.call(url, token, rest[0], json.loads(rest[1]), era))
    seen = [outcome.code, outcome.text]
print(json.dumps(seen))
