"""Microsoft's inference server as a process, in an environment of its own from PyPI."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from hashlib import blake2b
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spymaster-tests"
_PATIENCE_S = 120.0


def environment() -> Path:
    """A Python with Microsoft's server, made once for this machine; skips where it cannot be."""
    wanted = HERE / "microsoft.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = blake2b(wanted.read_bytes() + version.encode(), digest_size=6).hexdigest()
    folder = CACHE / f"azureml-server-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "azureml-server.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            made = subprocess.run(
                [folder / "bin" / "python", "-m", "pip", "install", "-q",
                 "--disable-pip-version-check", "-r", wanted],
                capture_output=True, text=True,
            )  # fmt: skip
            if made.returncode:
                pytest.skip(f"PyPI cannot be reached: {made.stderr.strip()[-500:]}")
            (folder / "whole").touch()
    return folder / "bin" / "python"


class Server:
    """A server on a free loopback port: `command` finds it as a socket with this number."""

    def __init__(self, log: Path, model: Path, script: Path = HERE / "entry.py") -> None:
        python = environment()
        self.log = log
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with open(log, "wb") as out:
                self.process = subprocess.Popen(
                    [python, "-m", "gunicorn", "-b", f"fd://{listening.fileno()}", "-w", "1",
                     "--timeout", "300", "azureml_inference_server_http.server.entry:app"],
                    pass_fds=[listening.fileno()], stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.STDOUT, cwd=log.parent,
                    env={
                        "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"),
                        "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
                        "AML_APP_ROOT": str(script.parent), "AZUREML_ENTRY_SCRIPT": script.name,
                        "AZUREML_MODEL_DIR": str(model.parent), "MLFLOW_MODEL_FOLDER": model.name,
                    },
                )  # fmt: skip

    def ready(self) -> Server:
        until = time.monotonic() + _PATIENCE_S
        while True:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            try:
                httpx.get(self.url, timeout=_PATIENCE_S)
                return self
            except httpx.TransportError:
                time.sleep(0.1)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
