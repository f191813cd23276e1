"""The whole story on one page; `make demo` runs it.

Policies in YAML are checked, tested and compiled into a signed bundle. Two ordinary MCP servers
stand behind a sidecar each. Four callers knock. Then one line of YAML changes: the diff says
exactly what access that adds, the running sidecar picks the new bundle up, and a call that was
refused goes through. A bundle that somebody altered does not.

Every outcome is compared with what it must be; the first difference ends the demo with exit 1.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import audit
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


MAINTAINERS = ("gh-payments-maint",)
ALICE = Caller("alice", "acme-idp", "u-1001", MAINTAINERS)
TRIAGE = Caller("triage-bot for alice", "acme-idp", "u-1001", MAINTAINERS, "agent-triage")
REFUND = Caller("refund-bot for alice", "acme-idp", "u-1001", MAINTAINERS, "agent-refund")
GINA = Caller("gina", "globex-idp", "g-2001")

INTRO = """\
Latchkey: access policy for agent tools, from YAML in Git to every call.

  MCP client  ->  latchkey-sidecar  ->  MCP server
                         ^
  policies/*.yaml  ->  signed bundle

Two servers, github and payments. They and the client are written with the official Python SDK.

The callers, each with a token of its identity provider:
  alice                 a person. Her token carries the group claim `gh-payments-maint`; Git says
                        what that means: the group payments-maintainers, within acme/payments
  triage-bot for alice  an agent acts for her: the token names both, and both must be allowed
  refund-bot for alice  another agent
  gina                  a person of another organization"""


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
                 "as the server folds case, so does the policy"),
            Step("github", "sync_labels",
                 {"owner": "acme", "repos": ["ledger", "infra-dns"], "labels": ["bug"]},
                 "no_permission", "ledger is her team's, infra-dns another's: both must grant"),
            Step("github", "delete_repository", ledger(), "surface_unmatched",
                 "nothing could ever allow her this: told as if it did not exist,"),
            Step("github", "invented_tool", {}, "surface_unmatched",
                 "like a tool that does not exist"),
        ],
    ),
    (
        TRIAGE,
        [
            Step("github", "get_issue", ledger(number=1), "allow",
                 "the agent may, and so may alice"),
            Step("github", "push_files", push("fix/cents"), "allow", "a branch"),
            Step("github", "push_files", push("main"), "denied_by_policy",
                 "both have the grant; a rule about agents denies, and a deny wins"),
        ],
    ),
    (
        REFUND,
        [
            Step("payments", "refund", refund(80), "allow",
                 "its binding says: when args.amount <= 100"),
            Step("payments", "refund", refund(250), "no_permission", "so 250 is no grant at all"),
            Step("payments", "refund", refund(80, "USD"), "denied_by_policy",
                 "a rule: agents refund in euro"),
        ],
    ),
    (
        GINA,
        [
            Step("github", "get_issue", ledger(number=1), "no_permission",
                 "no grant on this server: not even the handshake succeeds"),
            Step("payments", "get_balance", {"account": "pay-1"}, "allow",
                 "the one grant that crosses organizations, with a reason in Git"),
        ],
    ),
]

ERAS = [
    ("legacy", "legacy: a handshake, then a session"),
    ("2026-07-28", "stateless: no handshake, routing headers"),
]

LISTS: list[tuple[Caller, str, list[str]]] = [
    (ALICE, "github", ["create_issue", "get_issue", "push_files", "repo_admin", "search_issues",
                       "sync_labels"]),
    (TRIAGE, "github", ["create_issue", "get_issue", "push_files", "search_issues"]),
    (REFUND, "payments", ["get_balance", "list_payments", "refund"]),
]


def act_compile(stage: Stage) -> None:
    heading("1. Policy in Git becomes a signed bundle")
    stage.summary("check", why="every name exists; nothing is said that is not enforced")
    stage.summary("test", why="tables of callers and calls, decided on the compiled bundle")
    stage.latchkey("keygen", "--out", str(stage.key), why="a release key, and whom to trust")
    stage.build()


async def act_lists(stage: Stage) -> None:
    heading("2. A caller sees only the tools that some call of its own could use")
    for server in stage.servers:
        behind = await client.tools(stage.upstream(server), None)
        print(dim(f"  {f'the {server} server offers'.ljust(37)} {wrapped(behind)}"))
    for caller, server, expected in LISTS:
        shown = await client.tools(stage.url(server), caller.token(server))
        print(f"  {f'{caller.title} sees at {server}'.ljust(37)} {wrapped(shown)}")
        if shown != expected:
            raise DemoError(f"{caller.title} is shown {shown}, not {expected}")


def wrapped(names: list[str]) -> str:
    """Names with commas, in a column of their own."""
    return textwrap.fill(", ".join(names), 60).replace("\n", "\n" + " " * 40)


async def act_calls(stage: Stage) -> None:
    heading("3. Each call is allowed or refused, by its arguments")
    for caller, steps in STORY:
        print(f"  {bold(caller.title)}")
        for step in steps:
            await play(stage, caller, step)


async def act_eras(stage: Stage) -> None:
    heading("4. The same in both eras of MCP")
    for era, meaning in ERAS:
        for amount, expected in ((80, "allow"), (250, "no_permission")):
            outcome = await client.call(
                stage.url("payments"), REFUND.token("payments"), "refund", refund(amount), era
            )
            if outcome.code != expected:
                raise DemoError(f"{era}: refund of {amount} must be {expected}: {outcome}")
        spoken = audit.requests(stage.audit("payments"))[-1]["authz"]["input"]["protocol"]
        print(f"  {spoken}  {meaning}; a refund of 80 is allow, of 250 no_permission")
        if era == "legacy" and not spoken < "2026":
            raise DemoError(f"the legacy client spoke {spoken}")


async def play(stage: Stage, caller: Caller, step: Step) -> None:
    outcome = await client.call(
        stage.url(step.server), caller.token(step.server), step.tool, step.arguments
    )
    colour = good if outcome.code == "allow" else refused
    arguments = ", ".join(f"{k}={json.dumps(v)}" for k, v in step.arguments.items())
    print(f"    {colour(outcome.code.ljust(18))} {step.tool}({arguments})")
    print(dim(f"    {'':18} {step.why}"))
    if outcome.data and (rule := outcome.data.get("rule")):
        print(dim(f"    {'':18} the caller is told: {rule}: {outcome.data.get('message')}"))
    if outcome.code != step.expect:
        raise DemoError(
            f"{caller.title}: {step.tool} must be {step.expect}, but was {outcome.code}: "
            f"{outcome.text}"
        )


def act_audit(stage: Stage) -> None:
    heading("5. One audit event for every request, chained by hash")
    for server in stage.servers:
        lines = stage.audit(server)
        events = audit.requests(lines)
        counted = sum(stage.metric(server, f"latchkey_{w}_total") for w in ("allow", "deny"))
        if counted != len(events):
            raise DemoError(f"{server}: {counted} requests, but {len(events)} audit events")
        if broken := audit.broken_at(lines):
            raise DemoError(f"the audit chain of {server} is broken at line {broken}")
        print(f"  {server}: {counted} requests, {len(events)} events, chain "
              f"{good('verified')} over {len(lines)} lines; the last calls:")
        for event in [e for e in events if e["method"] == "tools/call"][-4:]:
            print(dim(f"    {audit.one_line(event)}"))
    lines = stage.audit("payments")
    denied = next(i for i, line in enumerate(lines) if '"decision":"deny"' in line)
    lines[denied] = lines[denied].replace('"decision":"deny"', '"decision":"allow"')
    if audit.broken_at(lines) != denied + 1:
        raise DemoError("an altered audit line was not noticed")
    print(f"  a copy with one `deny` rewritten as `allow`: {refused('broken')} at that line")


def act_change(stage: Stage) -> None:
    heading("6. One line of YAML changes; the diff says exactly what access that adds")
    old = stage.folder / "old-policies"
    shutil.copytree(stage.policies, old)
    path = stage.policies / EDITED
    text = path.read_text()
    if text.count(BEFORE) != 1:
        raise DemoError(f"{EDITED} must hold `{BEFORE}` once")
    path.write_text(text.replace(BEFORE, AFTER))
    print(f"  {EDITED}\n    {refused('- ' + BEFORE)}\n    {good('+ ' + AFTER)}")
    lines = stage.latchkey("diff", str(old), str(stage.policies),
                           why="denied before, allowed now; the witness was replayed on both")
    # What else the diff says has no access in it: refusals that now name another reason.
    shown = list(itertools.takewhile(lambda line: "Same access" not in line, lines))
    summary = next(line for line in lines if " widened, " in line)
    print("\n".join(f"    {line}" for line in [*shown, summary]))
    if not summary.startswith("1 widened, 0 loosened") or "0 undecided" not in summary:
        raise DemoError("the change must widen in exactly one way")
    # The golden tables still say what was true before, and what fails them is not signed.
    stage.summary("test", "--bless", why="the golden tables change with it, or nothing is signed")


async def act_swap(stage: Stage) -> None:
    heading("7. The running sidecar takes the new bundle")
    stage.build()
    waited = time.monotonic()
    stage.await_version("payments", stage.sequence)
    print(f"  payments enforces version {stage.sequence} after "
          f"{time.monotonic() - waited:.1f} s, without a restart")
    print(f"  {bold(REFUND.title)}")
    await play(stage, REFUND, Step("payments", "refund", refund(250), "allow",
                                   "the call that was refused before"))
    await play(stage, REFUND, Step("payments", "refund", refund(501), "no_permission",
                                   "and not one unit more"))


async def act_forgery(stage: Stage) -> None:
    heading("8. A bundle that somebody altered changes nothing")
    forged = stage.folder / "forged"
    running = stage.sequence
    path = stage.policies / EDITED
    path.write_text(path.read_text().replace(AFTER, BEFORE))
    print(f"  {EDITED}\n    {refused('- ' + AFTER)}\n    {good('+ ' + BEFORE)}")
    stage.summary("test", "--bless", why="the change is taken back")
    stage.build(forged)
    slice_ = forged / "payments.lkb"
    content = bytearray(slice_.read_bytes())
    content[len(content) // 2] ^= 1
    slice_.write_bytes(content)
    # The statement last, as every carrier does: until then the old release is the one on offer.
    for path in sorted(forged.iterdir(), key=lambda path: path.suffix == ".json"):
        path.replace(stage.bundle / path.name)
    stage.await_refusal("payments")
    if stage.metric("payments", "latchkey_bundle_version") != running:
        raise DemoError("the altered bundle is in force")
    print(f"  one bit of payments.lkb is flipped on its way: {refused('refused')}; "
          f"version {running} stays in force")
    await play(stage, REFUND, Step("payments", "refund", refund(250), "allow", "as before"))


async def perform(stage: Stage) -> None:
    act_compile(stage)
    stage.start()
    await act_lists(stage)
    await act_calls(stage)
    await act_eras(stage)
    act_audit(stage)
    act_change(stage)
    await act_swap(stage)
    await act_forgery(stage)


def main() -> int:
    started = time.monotonic()
    print(INTRO)
    with tempfile.TemporaryDirectory(prefix="latchkey-demo-") as folder:
        with Stage(ROOT, Path(folder)) as stage:
            try:
                asyncio.run(perform(stage))
            except DemoError as error:
                print(f"\n{refused('demo failed:')} {error}", file=sys.stderr)
                stage.explain_failure()
                return 1
    print(f"\n{good('Every outcome was the expected one')} "
          f"({time.monotonic() - started:.1f} s). The policies are in "
          f"policies/, this story is demo/demo.py; docs/quickstart.md goes on from here.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
