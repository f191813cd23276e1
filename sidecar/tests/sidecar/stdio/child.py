"""A small MCP server on standard input and output, which misbehaves on demand.

`ERA` is `modern` or `legacy`; `push_files` does what `MODE` says. A client of the name `mute` gets no
session.
"""

import json
import os
import signal
import sys
import threading
import time

LOCK = threading.Lock()
ERA = os.environ.get("ERA", "modern")
MODE = os.environ.get("MODE", "")
SEEN = []


def say(message):
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def text(words):
    return {"content": [{"type": "text", "text": json.dumps(words)}], "resultType": "complete"}


def misbehave():
    if MODE == "die":
        os._exit(3)
    if MODE == "close":
        os.close(1)
        time.sleep(3600)
    if MODE == "rubbish":
        for _ in range(3):
            print("not a message", flush=True)
    if MODE == "flood":
        while True:
            say({"method": "notifications/message", "params": {"data": "x" * 1000}})
    if MODE == "late":
        time.sleep(2)
    if MODE == "long":
        print("x" * (5 << 20), flush=True)
    if MODE == "strange":
        say({"id": 999999, "result": text("made up")})
        say({"id": "no number", "result": text("made up")})
        say({"id": 7, "method": "sampling/createMessage", "params": {}})
        say({"method": "notifications/progress", "params": {"progressToken": 12345, "progress": 1}})


def call(message):
    params = message["params"]
    name, meta = params["name"], params.get("_meta", {})
    if name == "steady":
        return
    if name == "slow":
        time.sleep(0.4)
    if name == "stream":
        for step in range(3):
            token = meta.get("progressToken")
            say({"method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
    if name == "push_files":
        misbehave()
    words = {"pid": os.getpid(), "id": message["id"], "seen": SEEN, "env": sorted(os.environ), "cwd": os.getcwd()}
    say({"id": message["id"], "result": text(words)})


def answer(message):
    method = message.get("method")
    SEEN.append(method if method != "notifications/cancelled" else [method, message["params"]["requestId"]])
    if "id" not in message:
        return
    if method == "initialize" and message["params"]["clientInfo"]["name"] == "mute":
        return
    if method == "initialize" and ERA == "legacy":
        version = message["params"]["protocolVersion"]
        info = {"name": "child", "version": "1"}
        result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        say({"id": message["id"], "result": result})
    elif method == "server/discover" and ERA == "modern":
        say({"id": message["id"], "result": {"supportedVersions": ["2026-07-28"], "resultType": "complete",
                                             "capabilities": {}, "ttlMs": 1, "cacheScope": "public"}})
    elif method == "tools/call":
        threading.Thread(target=call, args=(message,), daemon=True).start()
    elif method == "ping":
        say({"id": message["id"], "result": {}})
    else:
        say({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})


if MODE == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if MODE == "stillborn":
    sys.exit(1)
print("started", file=sys.stderr, flush=True)
for line in sys.stdin:
    if MODE == "hang" and "tools/call" in line:
        time.sleep(3600)
    answer(json.loads(line))
if MODE == "stubborn":
    time.sleep(3600)
