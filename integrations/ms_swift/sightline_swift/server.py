"""The reward server of this node. The node's first process starts it, requests go over a Unix socket, and it ends with that process.

Knows processes and JSON, not rewards.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

from .errors import SightlineError
from .settings import Settings

#: Seconds within which Node and the plugins must start.
START = 60.0
#: Seconds that the server has to report a reward that exceeds its own time limit.
GRACE = 10.0
#: The oldest version of Node that sightline supports. Older ones would fail with an unclear message.
OLDEST_NODE = (20, 19)


class RewardServer:
    """A client of ``sightline reward-server``. Only the process that started the server ends it."""

    def __init__(self, path: str, deadline: float, process: subprocess.Popen[str] | None = None) -> None:
        self._path = path
        self._deadline = deadline
        self._process = process

    def ask(self, what: str, body: Any) -> Any:
        """Sends a request and returns the answer.

        :raises SightlineError: the server's error, or the server has ended, or it has not answered in time
        """
        # The server itself reports a late reward. This timeout is for a server that is blocked.
        connection = _UnixConnection(self._path, self._deadline + 10)
        try:
            connection.request("POST", what, json.dumps(body), {"content-type": "application/json"})
            response = connection.getresponse()
            status, answer = response.status, json.loads(response.read())
        except TimeoutError:
            raise SightlineError(
                f"the reward server has not answered {what} within {self._deadline + 10:g} s",
                "a reward that computes for long without awaiting blocks the server; make it faster, or raise SIGHTLINE_REWARD_DEADLINE",
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SightlineError(self._gone(what, error), "see Node's output above; then start the run again") from error
        finally:
            connection.close()
        if status != 200:
            told = answer["error"]
            where = f"\n  at: {told['where']}" if told.get("where") else ""
            raise SightlineError(f"{told['message']}{where}", told.get("hint"))
        return answer

    def end(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _gone(self, what: str, error: Exception) -> str:
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(1)  # its socket closes a moment before it exits
        if code is None:
            return f"the request {what} to the reward server failed: {type(error).__name__}: {error}"
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return f"the reward server has ended {how}, so the request {what} failed"


def node_missing(settings: Settings) -> str | None:
    """The reason why Node cannot be used on this machine; None if it can."""
    node = shutil.which(settings.node)
    if node is None:
        return f"there is no program {settings.node}"
    if not cli_of(settings).is_file():
        return f"sightline is not built: {cli_of(settings)} is missing (npm ci && npm run build)"
    try:
        found = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=START, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"{node} --version failed: {error}"
    version = tuple(int(part) for part in found.lstrip("v").split(".")[:2])
    oldest = ".".join(map(str, OLDEST_NODE))
    return f"{node} is {found}, older than {oldest}" if version < OLDEST_NODE else None


def cli_of(settings: Settings) -> Path:
    return Path(settings.cli) if settings.cli else Path(__file__).resolve().parents[3] / "dist" / "cli" / "main.js"


def deadline_of(settings: Settings) -> float:
    """Later than the time limit of rewards, so that the server can report a reward that exceeds it."""
    return max(settings.deadline, settings.reward_timeout + GRACE) if settings.reward_timeout > 0 else settings.deadline


def start_server(settings: Settings, path: str) -> RewardServer:
    """Starts Node and waits until the server is ready.

    :raises SightlineError: the server ended, or was not ready in time; its output is in the log already
    """
    deadline = deadline_of(settings)
    words = ["reward-server", "--socket", path, "--exit_with_stdin", "true", "--deadline", f"{deadline:g}"]
    words += ["--reward_error", settings.reward_error]
    if settings.reward_timeout > 0:
        words += ["--reward_timeout", f"{settings.reward_timeout:g}"]
    if settings.plugins:
        words += ["--external_plugins", *(os.path.abspath(plugin) for plugin in settings.plugins)]
    process = subprocess.Popen(
        [settings.node, str(cli_of(settings)), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C must only reach the trainer. The server ends with the trainer, when its standard input closes.
        start_new_session=True,
    )
    server = RewardServer(path, deadline, process)
    atexit.register(server.end)
    first: list[str] = []
    reader = threading.Thread(target=_read, args=(process.stdout, first), daemon=True)
    reader.start()
    until = time.monotonic() + START
    while not first and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    if not first or not first[0].startswith("ready"):
        server.end()
        why = "it ended with the message above" if process.returncode else f"it was not ready within {START:g} s"
        raise SightlineError(
            f"sightline reward-server did not start: {why}", "run it manually: " + " ".join(map(str, process.args))
        )
    return server


def join_server(settings: Settings, path: str) -> RewardServer:
    """Waits for the server that this node's first process starts.

    :raises SightlineError: no server answers in time
    """
    until = time.monotonic() + START
    server = RewardServer(path, deadline_of(settings))
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
            return server
        except OSError:
            if time.monotonic() > until:
                raise SightlineError(
                    f"no reward server answers on {path} after {START:g} s",
                    "see the output of the process with LOCAL_RANK 0 on this node",
                ) from None
            time.sleep(0.1)


def socket_path() -> str:
    """The path of the socket in a private folder of the user. It is the same in all processes of one torchrun on this node, and in
    no other process."""
    folder = Path(tempfile.gettempdir()) / f"sightline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SightlineError(f"{folder} is not a private folder of this user", "remove it, or set TMPDIR to another folder")
    launcher = os.getppid() if "LOCAL_RANK" in os.environ else os.getpid()
    return str(folder / f"rewards-{launcher}.sock")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _read(stream: IO[str] | None, lines: list[str]) -> None:
    """Keeps the first line, and reads the rest so that a plugin that prints is never blocked by a full pipe."""
    for line in stream or ():
        if not lines:
            lines.append(line)
