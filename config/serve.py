"""The embedded shape in one command: sets up what is missing, then runs web server and worker until one is stopped.

`bin/run` calls this. Everything is idempotent; a second start finds it done.
"""

import io
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.request import urlopen

BASE_DIR = Path(__file__).resolve().parent.parent
FALLBACK_UPSTREAM = "https://registry.npmmirror.com"
_STOP_SECONDS = 15


def main() -> None:
    """Set up, then serve."""
    os.chdir(BASE_DIR)
    _write_env(BASE_DIR / ".env")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    settings = _load_settings()
    _check_folder(settings.VAR)
    _check_port(settings.HOST, settings.PORT)
    _prepare(settings)
    _serve(settings.HOST, settings.PORT)


def _write_env(path: Path) -> None:
    """Write what each machine has of its own, once: a secret key, and the upstream that npm uses here."""
    known = path.read_text() if path.exists() else ""
    names = {line.partition("=")[0].strip() for line in known.splitlines()}
    lines = []
    if "LARDER_SECRET_KEY" not in names | os.environ.keys():
        lines.append(f"LARDER_SECRET_KEY={secrets.token_urlsafe(48)}")
    if "LARDER_UPSTREAM_URL" not in names | os.environ.keys():
        upstream = _npm_config("registry") or FALLBACK_UPSTREAM
        lines.append(f"LARDER_UPSTREAM_URL={upstream.rstrip('/')}")
        if ca_file := _npm_config("cafile"):
            lines.append(f"LARDER_UPSTREAM_CA={ca_file}")
    if not lines:
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a") as file:
            file.write(("" if known.endswith("\n") or not known else "\n") + "\n".join(lines) + "\n")
    except OSError as error:
        _stop(
            f"{path} cannot be written ({error.strerror}): make it writable, "
            "or set LARDER_SECRET_KEY and LARDER_UPSTREAM_URL in the environment."
        )
    _say(f"Wrote {', '.join(line.partition('=')[0] for line in lines)} to .env")


def _npm_config(key: str) -> str:
    """What the npm client of this machine has for `key`; empty without a client or a value."""
    npm = shutil.which("npm")
    if npm is None:
        return ""
    try:
        done = subprocess.run([npm, "config", "get", key], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 (npm, found on the PATH)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    value = done.stdout.strip()
    return "" if value in ("undefined", "null") else value


def _load_settings() -> Any:
    import django  # noqa: PLC0415 (the environment must be written first)
    from django.conf import settings  # noqa: PLC0415

    try:
        django.setup()
    except Exception as error:  # noqa: BLE001 (whatever is wrong with a setting, it is one sentence)
        _stop(f"The settings cannot be read: {error}")
    return settings


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        _stop(f"Larder cannot write to {folder} ({error.strerror}): set LARDER_VAR to a folder that is yours.")


def _check_port(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        _stop(f"Larder cannot listen on {host}:{port} ({reason}): set HOST and PORT to an address that is free.")


def _prepare(settings: Any) -> None:
    from django.core.management import CommandError, call_command  # noqa: PLC0415
    from django.core.management.base import SystemCheckError  # noqa: PLC0415

    for folder in ("run", "broker/queue", "broker/processed", "broker/control"):
        (settings.VAR / folder).mkdir(parents=True, exist_ok=True)
    try:
        call_command("check", stdout=io.StringIO())
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
    except (SystemCheckError, CommandError) as error:
        _stop(str(error))
    _create_first_administrator(settings.ADMIN_PASSWORD)


def _create_first_administrator(password: str) -> None:
    from audit.actors import Actor  # noqa: PLC0415
    from registry import people  # noqa: PLC0415
    from registry.errors import RegistryError  # noqa: PLC0415
    from registry.models import User  # noqa: PLC0415

    if User.objects.exists():
        return
    chosen = password or secrets.token_urlsafe(15)
    try:
        people.create_user("admin", chosen, actor=Actor.system("bin/run"), is_admin=True)
    except RegistryError as error:
        _stop(f"LARDER_ADMIN_PASSWORD will not do: {error.sentence}")
    if not password:
        _say(f"The first administrator is admin, with the password {chosen} (shown this once)")


def _serve(host: str, port: int) -> None:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    commands = {
        "web server": [bin_folder / "gunicorn", "--config", "python:config.gunicorn", "--bind", address, "config.wsgi"],
        "worker": [
            bin_folder / "celery", "--app", "config", "--quiet", "worker", "--beat", "--pool", "threads",
            "--concurrency", "2", "--loglevel", "WARNING",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ],
    }  # fmt: skip
    processes = {}
    for name, command in commands.items():
        processes[name] = subprocess.Popen(  # noqa: S603
            [str(part) for part in command], env=environment, start_new_session=True
        )
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_announce, args=(f"http://{address}", stopping), daemon=True).start()
    status = _watch(processes, stopping)
    sys.exit(status)


def _announce(url: str, stopping: threading.Event) -> None:
    """Say where we are, once we are there."""
    while not stopping.wait(0.1):
        try:
            with urlopen(f"{url}/-/ping", timeout=5):  # noqa: S310 (our own address)
                break
        except OSError:
            continue
    _say(f"Larder serves at {url}/ (Ctrl-C stops it)\n\n    npm config set registry {url}/\n")


def _watch(processes: dict[str, "subprocess.Popen[bytes]"], stopping: threading.Event) -> int:
    """Wait for the end of one, or for a signal; then end all. Returns the exit status."""
    status = 0
    while not stopping.wait(0.2):
        ended = [name for name, process in processes.items() if process.poll() is not None]
        if ended:
            _say(f"The {ended[0]} has stopped, so Larder stops")
            status = 1
            stopping.set()
    for process in processes.values():
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return status


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (this is a command; people read it)


def _stop(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)  # noqa: T201
    sys.exit(1)


if __name__ == "__main__":
    main()
