"""Sync, cold: 200 real packages, and one of 5,000 versions, beside a plain parallel download of the same bytes.

    python benchmarks/sync.py [--packages 200] [--runs 3]

The packages' documents and the tarballs of their latest versions are copied once from the registry that npm is
configured with into a temporary folder, and served from there on loopback: both sides read the same bytes from the same
server, in turns. Larder runs `manage.py sync` as an operator does, on an empty SQLite database.
"""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import urllib3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.processes import free_port
from benchmarks.verdaccio import npm_config

CHECKOUT = Path(__file__).resolve().parents[1]
AT_ONCE = 8
LARGE = "five-thousand"
SERVER = """
import http.server, pathlib, sys
folder = pathlib.Path(sys.argv[2])
class Files(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", -1, True
    def log_message(self, *_): pass
    def do_GET(self):
        path = folder / self.path.lstrip("/").split("?")[0].replace("/", "+")
        if not path.is_file():
            self.send_error(404)
            return
        tag = f'"{path.stat().st_size}"'
        is_known = self.headers.get("if-none-match") == tag
        body = b"" if is_known else path.read_bytes()
        self.send_response(304 if is_known else 200)
        self.send_header("etag", tag)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Files).serve_forever()
"""


@dataclass(frozen=True)
class Cost:
    """What one process took: seconds, CPU seconds, and the most memory that it had, in MiB."""

    seconds: float
    cpu: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    names = json.loads((Path(__file__).parent / "packages.json").read_text())[: options.packages]
    with tempfile.TemporaryDirectory(prefix="larder-bench-") as scratch:
        folder = Path(scratch) / "upstream"
        folder.mkdir()
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        # In a process of its own: what one is started by counts as its peak, if that was larger.
        preparing = multiprocessing.Process(target=prepare, args=(names, folder, url, Path(scratch) / "versions"))
        preparing.start()
        preparing.join()
        versions = int((Path(scratch) / "versions").read_text())
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(port), str(folder)])
        try:
            wait_for(f"{url}/{LARGE}")
            report(names, versions, folder, url, Path(scratch), options.runs)
        finally:
            server.terminate()
            server.wait()


def prepare(names: list[str], folder: Path, url: str, counted: Path) -> None:
    counted.write_text(str(copy(names, folder, url)))
    (folder / LARGE).write_bytes(large(url))


def copy(names: list[str], folder: Path, url: str) -> int:
    """Keep the packages in the folder as a registry at `url` has them; returns how many versions they have."""
    upstream = npm_config("registry").rstrip("/")
    pool = urllib3.PoolManager(maxsize=AT_ONCE, ca_certs=npm_config("cafile") or None)

    def one(name: str) -> int:
        document = json.loads(pool.request("GET", f"{upstream}/{quote(name, safe='@')}").data)
        latest = document["versions"][document["dist-tags"]["latest"]]
        tarball = pool.request("GET", latest["dist"]["tarball"]).data
        for number, manifest in document["versions"].items():
            manifest["dist"]["tarball"] = f"{url}/{name}/-/{name}-{number}.tgz"
        (folder / name).write_text(json.dumps(document, separators=(",", ":")))
        (folder / urlsplit(latest["dist"]["tarball"]).path.lstrip("/").replace("/", "+")).write_bytes(tarball)
        return len(document["versions"])

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return sum(threads.map(one, names))


def large(url: str) -> bytes:
    """A packument of about 30 MB with 5,000 versions, like that of a compiler which is released every night."""
    noise = random.Random(7)
    text = "".join(noise.choices("abcdefghijklmnopqrstuvwxyz ", k=4000))
    versions = {}
    for index in range(5000):
        number = f"1.{index // 100}.{index % 100}"
        versions[number] = {
            "name": LARGE, "version": number, "description": text,
            "dependencies": {f"dependency-{place}": f"^{place}.0.0" for place in range(40)},
            "scripts": {f"script-{place}": "node build.js" for place in range(10)},
            "dist": {"shasum": f"{noise.getrandbits(160):040x}", "tarball": f"{url}/{LARGE}/-/{LARGE}-{number}.tgz"},
        }  # fmt: skip
    return json.dumps({"name": LARGE, "dist-tags": {"latest": number}, "versions": versions, "time": {}}).encode()


def report(names: list[str], versions: int, folder: Path, url: str, scratch: Path, runs: int) -> None:
    files = [path for path in folder.iterdir() if path.name != LARGE]
    size = sum(path.stat().st_size for path in files) / (1 << 20)
    wanted = scratch / "wanted"
    wanted.write_text("\n".join(f"{name}@{latest(folder, name)}" for name in names))
    print(
        f"{len(names)} packages, {versions} versions, {size:.0f} MiB of documents and tarballs; {runs} runs, medians\n"
    )
    print("| what | seconds | CPU seconds | peak MiB | ÷ plain download |")
    print("|---|---:|---:|---:|---:|")
    cold = pairs(runs, lambda: sync(url, scratch, "--file", str(wanted)), lambda: download(files, url))
    row(f"cold sync of {len(names)} packages", *cold)
    print(f"| that is, in a minute | {60 * len(names) / cold[0].seconds:.0f} packages, ", end="")
    print(f"{60 * versions / cold[0].seconds:.0f} versions | | | |")
    again = [sync(url, None, "--all-existing", "--no-tarballs", var=scratch / "var") for _ in range(runs)]
    middle = median(again)
    row("the same once more, unchanged", middle, None)
    print(f"| that is, for each | {1000 * middle.seconds / len(names):.1f} ms | | | |")
    one = pairs(runs, lambda: sync(url, scratch, LARGE, "--no-tarballs"), lambda: download([folder / LARGE], url))
    row(f"cold sync of 5,000 versions, {(folder / LARGE).stat().st_size / (1 << 20):.0f} MiB", *one)
    print(f"| that is, in a minute | {60 * 5000 / one[0].seconds:.0f} versions | | | |")
    row("a command that syncs nothing", median([sync(url, scratch, "--all-existing") for _ in range(runs)]), None)


def latest(folder: Path, name: str) -> str:
    return str(json.loads((folder / name).read_bytes())["dist-tags"]["latest"])


def row(what: str, ours: Cost, plain: Cost | None) -> None:
    ratio = f"{ours.seconds / plain.seconds:.1f}" if plain else ""
    print(f"| {what} | {ours.seconds:.1f} | {ours.cpu:.1f} | {ours.peak:.0f} | {ratio} |")
    if plain:
        print(f"| plain download of the same bytes | {plain.seconds:.1f} | {plain.cpu:.1f} | {plain.peak:.0f} | 1.0 |")


def pairs(runs: int, ours: Callable[[], Cost], plain: Callable[[], Cost]) -> tuple[Cost, Cost]:
    """The medians of both, run in turns."""
    both = [(ours(), plain()) for _ in range(runs)]
    return median([one for one, _ in both]), median([other for _, other in both])


def median(costs: list[Cost]) -> Cost:
    return Cost(
        *(
            statistics.median(values)
            for values in zip(*((one.seconds, one.cpu, one.peak) for one in costs), strict=True)
        )
    )


def sync(url: str, scratch: Path | None, *words: str, var: Path | None = None) -> Cost:
    """`manage.py sync`, on an empty database in `scratch`/var, or on the one in `var`."""
    environment = {**os.environ, "LARDER_UPSTREAM_URL": url, "LARDER_LOG_LEVEL": "ERROR", "LARDER_SECRET_KEY": "x" * 50}
    folder = var or empty(scratch / "var" if scratch else CHECKOUT)
    environment["LARDER_VAR"] = str(folder)
    if var is None:
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=CHECKOUT, env=environment, check=True)
    return measured([sys.executable, "manage.py", "sync", *words], environment)


def download(files: list[Path], url: str) -> Cost:
    """The same bytes, several files at once, onto disk."""
    code = (
        "import sys, urllib3, pathlib, tempfile\nfrom concurrent.futures import ThreadPoolExecutor\n"
        f"pool = urllib3.PoolManager(maxsize={AT_ONCE}); target = pathlib.Path(tempfile.mkdtemp())\n"
        "def one(path):\n"
        "    with pool.request('GET', sys.argv[1] + '/' + path, preload_content=False) as answer, "
        "open(target / path, 'wb') as file:\n"
        "        for chunk in answer.stream(65536): file.write(chunk)\n"
        f"with ThreadPoolExecutor({AT_ONCE}) as threads: list(threads.map(one, sys.stdin.read().split()))\n"
        "import shutil; shutil.rmtree(target)\n"
    )
    return measured([sys.executable, "-c", code, url], dict(os.environ), "\n".join(path.name for path in files))


def measured(command: list[str], environment: dict[str, str], given: str = "") -> Cost:
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(given.encode())
    process.stdin.close()
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{said.decode()[-2000:]}")
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def empty(folder: Path) -> Path:
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    folder.mkdir(parents=True)
    return folder


def wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib3.request("GET", url)
        except urllib3.exceptions.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the local upstream did not start")


if __name__ == "__main__":
    main()
