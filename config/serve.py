"""The embedded shape in one command: sets up what is missing, then runs web server and worker until one is stopped.

`bin/run` calls this. Everything is idempotent; a second start finds it done.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

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
    _serve(settings)


def _write_env(path: Path) -> None:
    """Write what each machine has of its own, once: a secret key, and the upstream that npm uses here."""
    known = path.read_text() if path.exists() else ""
    names = {line.partition("=")[0].strip() for line in known.splitlines()}
    lines = []
    if "LARDER_SECRET_KEY" not in names | os.environ.keys():
        lines.append(f"LARDER_SECRET_KEY={secrets.token_urlsafe(48)}")
    if "LARDER_UPSTREAM_URL" not in names | os.environ.keys():
        upstream = _npm_config("registry") or FALLBACK_UPSTREAM
        if urlsplit(upstream).hostname in ("127.0.0.1", "localhost"):  # most likely a Larder: npm was pointed at one
            upstream = FALLBACK_UPSTREAM
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
    from django.db import DatabaseError  # noqa: PLC0415

    _check_settings()
    (settings.VAR / "run").mkdir(parents=True, exist_ok=True)
    try:
        call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
        call_command("collectstatic", interactive=False, verbosity=0, skip_checks=True)
    except CommandError as error:
        _stop(str(error))
    except DatabaseError as error:
        _stop(f"The database cannot be used ({' '.join(str(error).split())}): is DATABASE_URL right?")
    for file in settings.VAR.glob("*.sqlite3*"):
        file.chmod(0o600)
    _create_first_administrator(settings.ADMIN_PASSWORD)


def _check_settings() -> None:
    from django.core.checks import run_checks  # noqa: PLC0415

    if wrong := [message for message in run_checks() if message.is_serious()]:
        _stop("\n".join(f"{message.msg} {message.hint or ''}".strip() for message in wrong))


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


def _serve(settings: Any) -> NoReturn:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    # glibc gives many threads an arena each, and keeps in each what one large document took there.
    environment = {"MALLOC_ARENA_MAX": "2", **os.environ, "PYTHONUNBUFFERED": "1"}
    address = _address(settings.HOST, settings.PORT)
    processes = {
        name: subprocess.Popen([sys.executable, "-m", *arguments], env=environment, start_new_session=True)  # noqa: S603
        for name, arguments in _commands(address, settings.SYNC_AT_ONCE).items()
    }
    threading.Thread(target=_announce, args=(settings, stopping), daemon=True).start()
    sys.exit(_watch(processes, stopping))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _commands(address: str, sync_at_once: int) -> dict[str, list[str]]:
    # Threads of the worker that no sync takes: one for the journal, one for all else.
    return {
        "web server": ["gunicorn", "--config", "python:config.gunicorn", "--bind", address, "config.wsgi"],
        "worker": [
            "celery", "--app", "config", "--quiet", "worker", "--beat", "--pool", "threads",
            "--concurrency", str(sync_at_once + 2), "--loglevel", "WARNING",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ],
    }  # fmt: skip


def _announce(settings: Any, stopping: threading.Event) -> None:
    """Say where we are, once we are there."""
    while not stopping.wait(0.1):
        if _answers(settings.HOST, settings.PORT):
            url = f"http://{_address(settings.HOST, settings.PORT)}"
            _say(f"Larder serves at {url}/ (Ctrl-C stops it)\n")
            _say(f"    npm config set registry {settings.PUBLIC_URL or url}/\n")
            return


def _answers(host: str, port: int) -> bool:
    """Whether the web server does. Asked without the proxy that may be in the environment: it is our own address."""
    connection = HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/-/ping")
        connection.getresponse()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


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
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        with suppress(ProcessLookupError):  # itself, when it is stuck, and children that it could not end
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return status


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (this is a command; people read it)


def _stop(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)  # noqa: T201
    sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # while it was setting up
        sys.exit(130)
