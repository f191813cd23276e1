"""The whole story on one page; `make demo` runs it.

Policies in YAML are checked, tested and compiled into a signed bundle. Two ordinary MCP servers
stand behind a sidecar each. Three callers knock. Then one line of YAML changes: the diff says
exactly what access that adds, the running sidecar picks the new bundle up, and a call that was
refused goes through.

Every outcome is compared with what it must be; the first difference ends the demo with exit 1.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import client
import keys
from stage import DemoError, Stage, bold, dim, good, heading, refused

ROOT = Path(__file__).resolve().parent.parent
AUDIENCE = "https://tools.acme.example/{server}"

# The one line that changes, and where.
EDITED = Path("access/payments.yaml")
BEFORE, AFTER = "when: args.amount <= 100", "when: args.amount <= 500"


@dataclass(frozen=True)
class Caller:
    """Who presents a token, and what the token says."""

    title: str
    issuer: str
    subject: str
    groups: tuple[str, ...] = ()
    actor: str | None = None

    def token(self, server: str) -> str:
        return keys.mint(
            self.issuer,
            self.subject,
            AUDIENCE.format(server=server),
            groups=list(self.groups),
            actor=self.actor,
        )


ALICE = Caller("alice, through her token group", "acme-idp", "u-1001", ("gh-payments-maint",))
TRIAGE = Caller(
    "triage-bot, acting for alice", "acme-idp", "u-1001", ("gh-payments-maint",), "agent-triage"
)
REFUND = Caller(
    "refund-bot, acting for alice", "acme-idp", "u-1001", ("gh-payments-maint",), "agent-refund"
)
GINA = Caller("gina, of another organization", "globex-idp", "g-2001")


@dataclass(frozen=True)
class Step:
    """One call, and what must come of it."""

    server: str
    tool: str
    arguments: dict
    expect: str
    why: str


def ledger(**more: object) -> dict:
    return {"owner": "acme", "repo": "ledger", **more}


def push(branch: str, owner: str = "acme", repo: str = "ledger") -> dict:
    return {"owner": owner, "repo": repo, "branch": branch, "files": []}


def refund(amount: int, currency: str = "EUR") -> dict:
    return {"account": "pay-1", "payment": "p-7", "amount": amount, "currency": currency}


STORY: list[tuple[Caller, list[Step]]] = [
    (
        ALICE,
        [
            Step("github", "push_files", push("main", "ACME", "Ledger"), "allow",
                 "case is folded, as GitHub does"),
            Step("github", "sync_labels",
                 {"owner": "acme", "repos": ["ledger", "infra-dns"], "labels": ["bug"]},
                 "no_permission", "touches two teams, and she has one"),
            Step("github", "delete_repository", ledger(), "surface_unmatched",
                 "she could never: told as if it did not exist,"),
            Step("github", "invented_tool", {}, "surface_unmatched", "like one that does not"),
        ],
    ),
    (
        TRIAGE,
        [
            Step("github", "get_issue", ledger(number=1), "allow", "both of them may"),
            Step("github", "push_files", push("fix/cents"), "allow", "agents work on branches"),
            Step("github", "push_files", push("main"), "denied_by_policy",
                 "a deny beats both grants"),
        ],
    ),
    (
        REFUND,
        [
            Step("payments", "refund", refund(80), "allow", "up to 100"),
            Step("payments", "refund", refund(250), "no_permission", "over its limit"),
            Step("payments", "refund", refund(80, "USD"), "denied_by_policy", "euro only"),
        ],
    ),
    (
        GINA,
        [
            Step("github", "get_issue", ledger(number=1), "no_permission",
                 "no grant at all on this server: not even the handshake succeeds"),
            Step("payments", "get_balance", {"account": "pay-1"}, "allow",
                 "the one cross-organization grant"),
        ],
    ),
]

LISTS: list[tuple[Caller, str, list[str]]] = [
    (ALICE, "github", ["create_issue", "get_issue", "push_files", "repo_admin", "search_issues",
                       "sync_labels"]),
    (TRIAGE, "github", ["create_issue", "get_issue", "push_files", "search_issues"]),
    (REFUND, "payments", ["get_balance", "list_payments", "refund"]),
]


def act_compile(stage: Stage) -> None:
    heading("1. Policy in Git becomes a signed bundle")
    stage.latchkey("check", why="the project is well formed and says nothing unenforceable")
    stage.latchkey("test", why="the golden matrices, decided on the compiled bytes")
    stage.latchkey("keygen", "--out", str(stage.key), why="the release key")
    stage.build()


async def act_lists(stage: Stage) -> None:
    heading("2. Callers see only the tools they might be allowed to call")
    for server in stage.servers:
        behind = await client.tools(stage.upstream(server), None)
        print(dim(f"  the {server} server itself offers\n    {', '.join(behind)}"))
    for caller, server, expected in LISTS:
        shown = await client.tools(stage.url(server), caller.token(server))
        print(f"  {caller.title} at {server}\n    {', '.join(shown)}")
        if shown != expected:
            raise DemoError(f"{caller.title} is shown {shown}, not {expected}")


async def act_calls(stage: Stage) -> None:
    heading("3. Allowed and refused, argument by argument")
    for caller, steps in STORY:
        print(f"  {bold(caller.title)}")
        for step in steps:
            await play(stage, caller, step)


async def play(stage: Stage, caller: Caller, step: Step) -> None:
    outcome = await client.call(
        stage.url(step.server), caller.token(step.server), step.tool, step.arguments
    )
    colour = good if outcome.code == "allow" else refused
    arguments = ", ".join(f"{k}={json.dumps(v)}" for k, v in step.arguments.items())
    print(f"    {colour(outcome.code.ljust(18))} {step.tool}({arguments})")
    print(dim(f"    {'':18} {step.why}"))
    if outcome.code != step.expect:
        raise DemoError(
            f"{caller.title}: {step.tool} must be {step.expect}, but was {outcome.code}: "
            f"{outcome.text}"
        )


def act_audit(stage: Stage) -> None:
    heading("4. One audit event for each request, chained by hash")
    for server in stage.servers:
        for event in stage.audit(server)[-2:]:
            print(dim(f"  {json.dumps(event, separators=(',', ':'))[:300]}"))


def act_change(stage: Stage) -> None:
    heading("5. One line changes, and the diff says exactly what that adds")
    old = stage.folder / "old-policies"
    shutil.copytree(stage.policies, old)
    path = stage.policies / EDITED
    text = path.read_text()
    if text.count(BEFORE) != 1:
        raise DemoError(f"{EDITED} must hold `{BEFORE}` once")
    path.write_text(text.replace(BEFORE, AFTER))
    print(f"  {EDITED}\n    {refused('- ' + BEFORE)}\n    {good('+ ' + AFTER)}")
    stage.latchkey("diff", str(old), str(stage.policies), shown=True,
                   why="each line is backed by a call that was replayed on both sides")


async def act_swap(stage: Stage) -> None:
    heading("6. The running sidecar takes the new bundle")
    stage.build()
    waited = time.monotonic()
    stage.await_version("payments", stage.sequence)
    print(f"  payments now enforces bundle {stage.sequence} "
          f"({time.monotonic() - waited:.1f} s, no restart)")
    print(f"  {bold(REFUND.title)}")
    await play(stage, REFUND, Step("payments", "refund", refund(250), "allow",
                                   "the same call as before"))
    await play(stage, REFUND, Step("payments", "refund", refund(501), "no_permission",
                                   "and not one unit more"))


async def perform(stage: Stage) -> None:
    act_compile(stage)
    stage.start()
    await act_lists(stage)
    await act_calls(stage)
    act_audit(stage)
    act_change(stage)
    await act_swap(stage)


def main() -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="latchkey-demo-") as folder:
        with Stage(ROOT, Path(folder)) as stage:
            try:
                asyncio.run(perform(stage))
            except DemoError as error:
                print(f"\n{refused('demo failed:')} {error}", file=sys.stderr)
                stage.explain_failure()
                return 1
    print(f"\n{good('Every outcome was the expected one')} "
          f"({time.monotonic() - started:.1f} s). Policies: policies/, story: demo/demo.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
