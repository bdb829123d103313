"""Arguments, lock, signals and exit code: the outermost layer."""

import argparse
import fcntl
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

from . import conf, faults, recipes
from .console import Console
from .runqueue import RunQueue, hash_tasks, order
from .tools import TaskError

BUSY_SECONDS = 77  # how long the real one tries to reach the server that holds the lock


class Stopped(Exception):
    """A signal asked for the end."""


def arguments(argv):
    parser = argparse.ArgumentParser(prog="bitbake")
    parser.add_argument("-c", "--cmd", default="build")
    parser.add_argument("-k", "--continue", dest="keep_going", action="store_true")
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("-q", "--quiet", action="count")
    parser.add_argument("-D", "--debug", action="count")
    parser.add_argument("--version", action="version", version="BitBake Build Tool Core version 2.8.0 (stand-in)")
    parser.add_argument("targets", nargs="*")
    return parser.parse_args(argv)


def split_target(target):
    """`mc:qemuamd64-bookworm:isar-image-base:do_x` -> (multiconfig, recipe, task or None)."""
    multiconfig = ""
    if target.startswith(("mc:", "multiconfig:")):
        _, multiconfig, target = target.split(":", 2)
    name, _, task = target.partition(":")
    return multiconfig, name, task or None


def take_lock(topdir, console, seconds):
    """The lock of the build directory, or None after so many seconds of trying."""
    lock = open(topdir / "bitbake.lock", "a")
    for attempt in range(8):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            now = time.strftime("%H:%M:%S") + f".{time.time_ns() % 10**9 // 1000:06d}"
            console.note("Reconnecting to bitbake server...")
            time.sleep(seconds / 8)
            console.note(f"Retrying server connection (#{attempt + 1})... ({now})")
    console.error("Unable to connect to bitbake server, or start one "
                  "(server startup failures would be in bitbake-cookerdaemon.log).")
    return None


def parse(console, topdir, multiconfigs):
    """Configuration and recipes of every multiconfig, with the messages of reading them."""
    cache = topdir / "tmp/cache/standin"
    cached = cache.read_text().split() if cache.exists() else []
    console.step("Loading cache")
    console.done()
    console.plain(f"Loaded {len(cached)} entries from dependency cache.")
    console.step("Parsing recipes")
    found, parsed, names = {}, 0, []
    for multiconfig in multiconfigs:
        data = conf.load(topdir, os.environ, multiconfig)
        found[multiconfig] = (data, conf.recipes(data))
        parsed = len(found[multiconfig][1])
        names = [name for name in found[multiconfig][1]]
    console.done()
    old = len(cached) if cached == names else 0
    console.message(f"Parsing of {parsed} .bb files complete ({old} cached, {parsed - old} parsed). "
                    f"{parsed} targets, 0 skipped, 0 masked, 0 errors.")
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("\n".join(names))
    return found


def code_hash():
    """Of this program: its result changes when it does, as a recipe's does when a class does."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.name not in ("console.py", "cli.py", "runqueue.py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def build(options, console, topdir, stop):
    wanted = [split_target(target) for target in options.targets]
    found = parse(console, topdir, list(dict.fromkeys(multiconfig for multiconfig, _, _ in wanted)))
    for _ in range(2 * (1 + len(found))):  # twice for each multiconfig, the default one among them
        console.note("Resolving any missing task queue dependencies")
    targets = []
    for multiconfig, name, task in wanted:
        data, files = found[multiconfig]
        graph = recipes.Graph(files, multiconfig)
        try:
            targets.append(graph.task(name, task or f"do_{options.cmd.removeprefix('do_')}"))
        except recipes.NoProvider as error:
            console.error(f"Nothing PROVIDES '{error}'")
            return 1
    data, _ = found[wanted[0][0]]
    knobs = faults.TaskFaults(data)
    console.flush = not data.get("STANDIN_UNFLUSHED")
    console.step("Initialising tasks")
    tasks = order(targets)
    hash_tasks(tasks, knobs, code_hash())
    queue = RunQueue(tasks, targets, console, knobs, {
        "threads": int(data.get("BB_NUMBER_THREADS") or os.cpu_count()),
        "keep_going": options.keep_going,
        "alive_after": float(data.get("STANDIN_ALIVE_SECONDS", "600")),
    })
    stop.queue = queue
    queue.plan()
    console.done()
    if not queue.execute():
        return 1
    image = targets[0].recipe
    if image.is_image:
        faults.spoil(image.data, f"{image.data.get('DEPLOY_DIR_IMAGE')}/{image.data.get('IMAGE_FULLNAME')}")
    return 0


class Stop:
    """SIGINT: no new task, running ones end. SIGTERM, or SIGINT twice: at once."""

    def __init__(self, console):
        self.console = console
        self.queue = None
        self.count = 0
        signal.signal(signal.SIGINT, self.interrupt)
        signal.signal(signal.SIGTERM, self.terminate)

    def interrupt(self, *_):
        self.count += 1
        self.console.plain("\nKeyboard Interrupt, closing down...\n" if self.count == 1
                           else "\nSecond Keyboard Interrupt, stopping...\n")
        sys.stdout.flush()
        if self.queue is None:
            raise Stopped
        self.queue.stopping = self.count
        if self.count > 1:
            self.queue.kill()

    def terminate(self, signum, _):
        if self.queue is not None:
            self.queue.kill()
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)


def main(argv):
    options = arguments(argv)
    console = Console()
    stop = Stop(console)
    topdir = Path(os.environ.get("BBPATH", os.getcwd()).split(":")[0])
    if not options.targets:
        console.plain("Nothing to do.  Use 'bitbake world' to build everything, or run 'bitbake --help' for usage information.")
        return 1
    try:
        data = conf.Data()
        data.parse(topdir / "conf/local.conf", [topdir])
        lock = take_lock(topdir, console, float(data.get("STANDIN_BUSY_SECONDS", str(BUSY_SECONDS))))
        status = 1 if lock is None else build(options, console, topdir, stop)
    except conf.ParseError as error:
        console.error(str(error))
        status = 1
    except TaskError as error:
        console.error(str(error))
        status = 1
    except Stopped:
        status = 1
    if stop.count:
        status = status or 1
    console.summary(status, interrupted=stop.count > 0)
    return status
