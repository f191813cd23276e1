"""What stands behind the demo: processes, ports, files and colours."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SERVERS = {"github": 9000, "payments": 9001}  # the ports that the policies name
START_SECONDS = 20
SWAP_SECONDS = 20

# https://no-color.org: present and not empty.
_COLOUR = not os.environ.get("NO_COLOR") and (
    sys.stdout.isatty() or os.environ.get("CLICOLOR_FORCE", "0") != "0"
)


class DemoError(Exception):
    """Something did not happen as the story says."""


def _paint(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if _COLOUR else text


def bold(text: str) -> str:
    return _paint("1", text)


def dim(text: str) -> str:
    return _paint("2", text)


def good(text: str) -> str:
    return _paint("32", text)


def refused(text: str) -> str:
    return _paint("31", text)


def heading(text: str) -> None:
    print(f"\n{_paint('1;36', text)}", flush=True)


class Stage:
    """A copy of the policies, two servers, a sidecar before each, and their clean-up."""

    servers = tuple(SERVERS)

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.policies = folder / "policies"
        self.bundle = folder / "bundle"
        self.key = folder / "release"
        self.sequence = 0
        self._children: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._ports = {
            name: {"upstream": free_port(), "listen": free_port(), "admin": free_port()}
            for name in SERVERS
        }
        shutil.copytree(root / "policies", self.policies)
        self._point_at_free_ports()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        for _, child in self._children:
            child.terminate()
        for _, child in self._children:
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _point_at_free_ports(self) -> None:
        """The upstream is part of the policy, so the copy names the ports that are free here."""
        for name, port in SERVERS.items():
            path = self.policies / "servers" / f"{name}.yaml"
            text = path.read_text()
            ours = f"http://127.0.0.1:{port}/mcp"
            if ours not in text:
                raise DemoError(f"servers/{name}.yaml must name {ours}")
            path.write_text(text.replace(ours, self.upstream(name)))

    def _port(self, server: str, use: str) -> int:
        return self._ports[server][use]

    def _binary(self, name: str) -> str:
        path = self.root / (os.environ.get("CARGO_TARGET_DIR") or "target") / "debug" / name
        if not path.exists():
            raise DemoError(f"{path} is missing; `make demo` builds it")
        return str(path)

    def url(self, server: str) -> str:
        """Where clients reach the sidecar of a server."""
        return f"http://127.0.0.1:{self._port(server, 'listen')}/mcp"

    def upstream(self, server: str) -> str:
        """Where the server itself listens, which only the sidecar should reach."""
        return f"http://127.0.0.1:{self._port(server, 'upstream')}/mcp"

    def latchkey(self, *arguments: str, why: str) -> list[str]:
        """Runs the compiler on the policies, shows the command, and answers what it printed.

        Its exit code must be 0.
        """
        shorter = " ".join(a.replace(f"{self.folder}/", "") for a in arguments)
        print(f"  {bold('$ latchkey ' + shorter)}  {dim('# ' + why)}", flush=True)
        colour = "always" if _COLOUR else "never"
        command = [
            self._binary("latchkey"), "-C", str(self.policies), "--color", colour, *arguments
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            output = (done.stdout + done.stderr).strip()
            raise DemoError(f"`latchkey {shorter}` ended with {done.returncode}:\n{output}")
        return done.stdout.replace(f"{self.folder}/", "").strip().splitlines()

    def summary(self, *arguments: str, why: str) -> None:
        """The same, showing the last line only."""
        print(f"    {self.latchkey(*arguments, why=why)[-1]}")

    def build(self, out: Path | None = None) -> None:
        """Compiles and signs the next version, into the folder that the sidecars watch."""
        previous = ["--previous", str(self.bundle)] if self.sequence else []
        self.sequence += 1
        lines = self.latchkey(
            "build", "--out", str(out or self.bundle), "--key", f"{self.key}.key", *previous,
            "--sequence", str(self.sequence), why="signed; the sidecars verify before they use it",
        )
        print(f"    {lines[0]}")

    def start(self) -> None:
        """Starts the servers and a sidecar before each, and waits until they answer."""
        for name in SERVERS:
            port = self._port(name, "upstream")
            self._spawn(f"{name} server", sys.executable, str(self.root / "demo/server.py"), name,
                        str(port))
            self._spawn(f"{name} sidecar", self._binary("latchkey-sidecar"), "--config",
                        str(self._sidecar_config(name)))
        for name in SERVERS:
            self._await_port(name, "upstream")
            self._await_port(name, "listen")
            self._await_port(name, "admin")

    def _sidecar_config(self, server: str) -> Path:
        home = self.folder / server
        (home / "state").mkdir(parents=True)
        path = home / "sidecar.toml"
        path.write_text(
            f"""[bundle]
source = "{self.bundle}"
server = "{server}"

[trust]
file = "{self.key}.trust.json"

[listen]
address = "127.0.0.1:{self._port(server, 'listen')}"

[admin]
address = "127.0.0.1:{self._port(server, 'admin')}"

[state]
directory = "{home / 'state'}"

[audit]
file = "{home / 'audit.jsonl'}"
"""
        )
        return path

    def _spawn(self, title: str, *command: str) -> None:
        log = (self.folder / f"{title.replace(' ', '-')}.log").open("wb")
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        log.close()
        self._children.append((title, child))

    def _check_children(self) -> None:
        for title, child in self._children:
            if child.poll() is not None:
                raise DemoError(f"the {title} ended with {child.returncode}")

    def _await_port(self, server: str, use: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._check_children()
            try:
                socket.create_connection(("127.0.0.1", self._port(server, use)), 0.2).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise DemoError(f"{server} {use} did not open in {START_SECONDS} s") from None
                time.sleep(0.05)

    def await_version(self, server: str, version: int) -> None:
        """Waits until the sidecar says that it enforces this bundle version."""
        deadline = time.monotonic() + SWAP_SECONDS
        while self.metric(server, "latchkey_bundle_version") != version:
            self._check_children()
            if time.monotonic() > deadline:
                raise DemoError(f"{server} did not take bundle {version} in {SWAP_SECONDS} s")
            time.sleep(0.05)

    def await_refusal(self, server: str) -> None:
        """Waits until the sidecar says that it has refused a bundle."""
        deadline = time.monotonic() + SWAP_SECONDS
        while not self.metric(server, "latchkey_bundle_refused_total"):
            self._check_children()
            if time.monotonic() > deadline:
                raise DemoError(f"{server} did not refuse the bundle in {SWAP_SECONDS} s")
            time.sleep(0.05)

    def metric(self, server: str, name: str) -> int:
        """The sum of one metric of a sidecar, over all of its labels."""
        url = f"http://127.0.0.1:{self._port(server, 'admin')}/metrics"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            int(float(line.rsplit(" ", 1)[1]))
            for line in lines
            if line.startswith((f"{name}{{", f"{name} "))
        )

    def audit(self, server: str) -> list[str]:
        """The lines that the sidecar of a server has written to its audit log."""
        return (self.folder / server / "audit.jsonl").read_text().splitlines()

    def explain_failure(self) -> None:
        """Shows the end of every log, for whoever has to find out."""
        for title, _ in self._children:
            path = self.folder / f"{title.replace(' ', '-')}.log"
            tail = path.read_text(errors="replace").splitlines()[-12:]
            if tail:
                print(f"\n{bold(title)}\n  " + "\n  ".join(tail), file=sys.stderr)


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
