"""Two ordinary MCP servers, written with the official Python SDK.

They know nothing of Latchkey, tokens or teams: whoever reaches them is obeyed. That is the point.

    python demo/server.py github 9000
    python demo/server.py payments 9001
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel


class File(BaseModel):
    """One file of a push."""

    path: str
    content: str


def github() -> MCPServer:
    """A GitHub-like server: the tools of policies/servers/github.yaml."""
    server = MCPServer("github")
    issues: dict[str, list[str]] = {
        "ledger": ["Cents are rounded twice"],
        "invoices": ["PDF has no page numbers"],
        "infra-dns": ["TTL of the apex is a week"],
    }

    @server.tool()
    def get_issue(owner: str, repo: str, number: int) -> str:
        """Read one issue."""
        return issues.get(repo.lower(), [])[number - 1]

    @server.tool()
    def search_issues(q: str) -> list[str]:
        """Search all issues that the app token can see."""
        return [title for titles in issues.values() for title in titles if q in title]

    @server.tool()
    def create_issue(
        owner: str, repo: str, title: str, body: str = "", labels: list[str] | None = None
    ) -> str:
        """File an issue."""
        issues.setdefault(repo.lower(), []).append(title)
        return f"{owner}/{repo}#{len(issues[repo.lower()])}"

    @server.tool()
    def push_files(owner: str, repo: str, branch: str, files: list[File]) -> str:
        """Push a commit."""
        return f"{len(files)} file(s) pushed to {owner}/{repo}@{branch}"

    @server.tool()
    def sync_labels(owner: str, repos: list[str], labels: list[str]) -> str:
        """Give several repositories the same labels."""
        return f"{len(labels)} label(s) on {', '.join(repos)}"

    @server.tool()
    def run_workflow(
        owner: str,
        repo: str,
        workflow: str,
        env: Literal["dev", "staging", "prod"] = "dev",
    ) -> str:
        """Start a workflow; without `env` it runs in dev."""
        return f"{workflow} runs for {repo} in {env}"

    @server.tool()
    def repo_admin(
        owner: str, repo: str, action: Literal["rename", "archive"], new_name: str = ""
    ) -> str:
        """Administer a repository."""
        return f"{action} {repo} {new_name}".strip()

    @server.tool()
    def delete_repository(owner: str, repo: str) -> str:
        """Delete a repository for good."""
        issues.pop(repo.lower(), None)
        return f"{repo} is gone"

    @server.tool()
    def debug_shell(command: str) -> str:
        """Somebody left this in. The policy does not list it, so nobody can see or call it."""
        return f"ran {command}"

    return server


def payments() -> MCPServer:
    """A payments server: the tools of policies/servers/payments.yaml."""
    server = MCPServer("payments")
    balances = {"pay-1": 120_000, "ops-1": 40_000}

    @server.tool()
    def get_balance(account: str, tenant: str = "", as_user: str = "") -> str:
        """Read the balance of an account."""
        return f"{account} holds {balances.get(account.lower(), 0)} (tenant {tenant or 'unset'})"

    @server.tool()
    def list_payments(
        account: str, limit: int = 10, tenant: str = "", as_user: str = ""
    ) -> list[str]:
        """List the latest payments of an account."""
        return ["p-7", "p-6", "p-5"][:limit]

    @server.tool()
    def refund(
        account: str,
        payment: str,
        amount: int,
        currency: str,
        note: str = "",
        tenant: str = "",
        as_user: str = "",
    ) -> str:
        """Refund a payment, in whole units of the currency."""
        balances[account.lower()] = balances.get(account.lower(), 0) - amount
        return f"refunded {amount} {currency} of {payment}"

    @server.tool()
    def move_funds(accounts: list[str], amount: int, currency: str, tenant: str = "") -> str:
        """Move money from the first account to the second."""
        return f"moved {amount} {currency} from {accounts[0]} to {accounts[1]}"

    @server.tool()
    def close_account(account: str, tenant: str = "") -> str:
        """Close an account for good."""
        balances.pop(account.lower(), None)
        return f"{account} is closed"

    return server


SERVERS = {"github": github, "payments": payments}


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in SERVERS or not arguments[1].isdigit():
        print(f"usage: server.py {{{','.join(SERVERS)}}} PORT", file=sys.stderr)
        return 2
    logging.disable(logging.INFO)
    SERVERS[arguments[0]]().run(
        transport="streamable-http", host="127.0.0.1", port=int(arguments[1])
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
