"""Reads an audit log as an auditor would, who trusts nobody: with a hash function and no Latchkey.

A line is one JSON object. Its last member `hash` is the SHA-256 of the object without that member;
`prev_hash` names the line before. A line that was changed, taken out or put in breaks the chain.
"""

from __future__ import annotations

import hashlib
import json


def broken_at(lines: list[str]) -> int | None:
    """The first line, from 1, where the chain does not hold; None if all of it does."""
    before = ""
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        tail = f',"hash":"{event["hash"]}"}}'
        if not line.endswith(tail) or event["prev_hash"] != before:
            return number
        body = line.removesuffix(tail) + "}"
        if hashlib.sha256(body.encode()).hexdigest() != event["hash"]:
            return number
        before = event["hash"]
    return None


def requests(lines: list[str]) -> list[dict]:
    """The events of requests; the others say when a bundle came into force, and the like."""
    events = [json.loads(line) for line in lines]
    return [event for event in events if event["event_type"] == "request"]


def one_line(event: dict) -> str:
    """Who, what, and what came of it."""
    who = event["principal_id"]
    if actor := event.get("actor_id"):
        who = f"{actor} for {who}"
    what = event.get("surface_id", event["path_template"])
    reason = event["reason"]
    if rule := event.get("rule_id"):
        reason = f"{reason} ({rule})"
    return f"{event['event_time'][11:23]}  {who.ljust(21)} {what.ljust(26)} {reason}"
