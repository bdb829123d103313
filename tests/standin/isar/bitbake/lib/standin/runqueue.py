"""Decides which tasks run, runs them in processes of their own, and reports as BitBake does.

A task is satisfied by its stamp (a file named after the task and its hash) or by shared state
under that hash; else it runs. What only satisfied tasks need is not looked at, so the numbers of
running tasks skip.
"""

import ctypes
import hashlib
import json
import os
import selectors
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from .tools import TaskError

PR_SET_PDEATHSIG = 1


@dataclass(eq=False)
class Task:
    recipe: object  # recipes.Recipe
    name: str  # do_…
    action: object = None  # callable of (task); None: noexec
    needs: list = field(default_factory=list)  # Tasks
    inputs: object = None  # what the result depends on besides the needed tasks; JSON
    shared: object = None  # sstate.Shared, where the result is kept for other build directories
    hash: str = ""
    tainted: bool = False

    @property
    def identifier(self):
        return f"{self.recipe.identifier}:{self.name}"

    @property
    def title(self):
        prefix = f"mc:{self.recipe.multiconfig}:" if self.recipe.multiconfig else ""
        return f"{prefix}{self.recipe.pf} {self.name}"

    def stamp(self, setscene=False):
        suffix = "_setscene" if setscene else ""
        return Path(f"{self.recipe.stamp}.{self.name}{suffix}.{self.hash}")

    def stamped(self):
        return self.stamp().exists() or self.restored()

    def restored(self):
        return self.shared is not None and self.stamp(True).exists()

    def unmark(self):
        stamp = self.stamp()
        for kind in ("", "_setscene"):
            for old in stamp.parent.glob(f"{Path(self.recipe.stamp).name}.{self.name}{kind}.*"):
                old.unlink(missing_ok=True)

    def mark(self, setscene=False):
        self.stamp(setscene).parent.mkdir(parents=True, exist_ok=True)
        self.unmark()
        self.stamp(setscene).touch()


def order(targets):
    """All tasks below the targets, needed ones first."""
    done, result = set(), []

    def visit(task):
        if id(task) in done:
            return
        done.add(id(task))
        for needed in task.needs:
            visit(needed)
        result.append(task)

    for target in targets:
        visit(target)
    return result


def hash_tasks(tasks, faults, code):
    for task in tasks:
        task.tainted = faults.taints(task) and task.action is not None
        parts = [code, task.recipe.pn, task.name, task.inputs, [n.hash for n in task.needs]]
        if task.tainted:
            parts.append(time.time_ns())
        task.tainted = task.tainted or any(n.tainted for n in task.needs)
        task.hash = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class RunQueue:
    def __init__(self, tasks, targets, console, faults, settings):
        self.tasks = tasks
        self.targets = targets
        self.console = console
        self.faults = faults
        self.threads = settings["threads"]
        self.keep_going = settings["keep_going"]
        self.alive_after = settings["alive_after"]
        self.running = {}  # file descriptor: (task, pid, setscene)
        self.stopping = 0
        self.completed = 0
        self.failed = 0
        self.skipped = 0

    # What to do

    def plan(self):
        """Sorts the tasks into current, restorable and to be run, and prints the summary of it."""
        current = {}

        def is_current(task):
            """Stamped, and no task before it in its recipe ran later or is missing."""
            if id(task) not in current:
                valid = task.stamped() and not task.tainted
                if valid and not task.restored():
                    own = task.stamp().stat().st_mtime_ns
                    for needed in (n for n in task.needs if n.recipe is task.recipe):
                        valid = valid and is_current(needed) and needed.stamp(needed.restored()).stat().st_mtime_ns <= own
                current[id(task)] = valid
            return current[id(task)]

        shared = [t for t in self.tasks if t.shared is not None]
        wanted = [t for t in shared if not is_current(t)]
        found = [t for t in wanted if not t.tainted and t.shared.archive(t).exists()]
        have = len(shared) - len(wanted)
        match = int(len(found) / len(wanted) * 100) if wanted else 0
        complete = int((len(found) + have) / len(shared) * 100) if have else 0
        self.console.message(
            f"Sstate summary: Wanted {len(wanted)} Local {len(found)} Mirrors 0 Missed {len(wanted) - len(found)} "
            f"Current {have} ({match}% match, {complete}% complete)")
        self.restore, self.run_for_real = [], []
        seen = set()

        def visit(task):
            if id(task) in seen:
                return
            seen.add(id(task))
            if is_current(task):
                return
            if task in found:
                self.restore.append(task)
                return
            self.run_for_real.append(task)
            for needed in task.needs:
                visit(needed)

        for target in self.targets:
            visit(target)
        self.scenes = len(shared)
        self.scenes_done = len(shared) - len(self.restore)
        self.skipped = len(self.tasks) - len(self.run_for_real)
        self.completed = len([t for t in self.tasks if is_current(t)])
        self.uncounted = self.skipped - self.completed - len(self.restore)

    # Doing it

    def execute(self):
        """Runs what is to be run; true when everything succeeded."""
        note = self.console.note
        if not self.scenes:
            note("No setscene tasks")
        note("Executing Tasks")
        finished = {id(t) for t in self.tasks} - {id(t) for t in self.run_for_real} - {id(t) for t in self.restore}
        waiting = [t for t in self.tasks if t in self.run_for_real]
        scenes = list(self.restore)
        ready_numbers = {id(t): i for i, t in enumerate(self.tasks)}
        if not scenes:
            self.completed = self.skipped
        selector = selectors.DefaultSelector()
        quiet_since = time.monotonic()
        scene_number = 0
        while True:
            blocked = self.stopping or (self.failed and not self.keep_going)
            while scenes and not blocked and len(self.running) < self.threads:
                task = scenes.pop(0)
                scene_number += 1
                note(f"Running setscene task {self.scenes_done + scene_number} of {self.scenes} ({task.identifier}_setscene)")
                self._start(task, selector, setscene=True)
            while not blocked and not scenes and len(self.running) < self.threads:
                ready = [t for t in waiting if all(id(n) in finished for n in t.needs)]
                if not ready:
                    break
                task = min(ready, key=lambda t: ready_numbers[id(t)])
                waiting.remove(task)
                number = self.completed + self.failed + len([r for r in self.running.values() if not r[2]]) + 1
                kind = "task" if task.action else "noexec task"
                note(f"Running {kind} {number} of {len(self.tasks)} ({task.identifier})")
                if task.action:
                    self._start(task, selector)
                else:
                    task.mark()
                    self.completed += 1
                    finished.add(id(task))
            if not self.running:
                break
            events = selector.select(timeout=0.25)
            for key, _ in events:
                quiet_since = time.monotonic()
                task, status = self._hear(key, selector)
                if status is None:
                    continue
                if status:
                    self.failed += 1
                    self.console.failed.append(task.identifier)
                else:
                    finished.add(id(task))
            if time.monotonic() - quiet_since > self.alive_after:
                quiet_since = time.monotonic()
                self.console.message(f"Bitbake still alive (no events for {self.alive_after:g}s). Active tasks:")
                for task, _, _ in self.running.values():
                    self.console.message(f"{task.recipe.pf} {task.name}")
        total = self.completed + self.failed
        verdict = f"{self.failed} failed" if self.failed else "all succeeded"
        if not self.stopping or self.failed:
            note(f"Tasks Summary: Attempted {total} tasks of which {self.skipped} didn't need to be rerun and {verdict}.")
        return not self.failed and not self.stopping

    def kill(self):
        """Ends running tasks and what they started, as far as the user may."""
        for _, pid, _ in self.running.values():
            try:
                os.killpg(pid, signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                pass

    def _start(self, task, selector, setscene=False):
        sys.stdout.flush()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            status = 1
            try:
                status = run_in_child(task, writer, self.faults, setscene)
            finally:
                os._exit(status)
        os.close(writer)
        self.running[reader] = (task, pid, setscene)
        selector.register(reader, selectors.EVENT_READ, bytearray())

    def _hear(self, key, selector):
        """Takes what a task said; at its end returns it with its exit code."""
        task, pid, setscene = self.running[key.fd]
        data = os.read(key.fd, 65536)
        key.data.extend(data)
        while b"\n" in key.data:
            line, _, rest = bytes(key.data).partition(b"\n")
            key.data[:] = rest
            self._say(task, *json.loads(line))
        if data:
            return task, None
        selector.unregister(key.fd)
        os.close(key.fd)
        del self.running[key.fd]
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        name = task.name + ("_setscene" if setscene else "")
        if code == 0:
            self.console.note(f"recipe {task.recipe.pf}: task {name}: Succeeded")
            self.completed += 1
            if setscene and not any(scene for _, _, scene in self.running.values()):
                # What only the restored tasks needed is done with: here the numbers skip.
                self.completed += self.uncounted
                self.uncounted = 0
            return task, 0
        log = logfile(task, setscene, pid)
        self.console.error(f"Logfile of failure stored in: {log}")
        self.console.plain("Log data follows:")
        for line in log.read_text(errors="replace").splitlines():
            self.console.plain(f"| {line}")
        self.console.note(f"recipe {task.recipe.pf}: task {name}: Failed")
        self.console.error(f"Task ({task.identifier}) failed with exit code '{abs(code)}'")
        return task, code

    def _say(self, task, level, text):
        if level == "note":
            self.console.note(text)
        elif level == "warn":
            self.console.warn(f"{task.title}: {text}")
        else:
            self.console.error(f"{task.title}: {text}")


def logfile(task, setscene, pid):
    return Path(task.recipe.workdir) / "temp" / f"log.{task.name}{'_setscene' if setscene else ''}.{pid}"


def run_in_child(task, writer, faults, setscene):
    """The body of a task's process: own group, log file as output, messages through the pipe."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.set_inheritable(writer, False)
    log = logfile(task, setscene, os.getpid())
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w") as file, open(os.devnull) as null:
        os.dup2(null.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    current = log.with_name(f"log.{task.name}")
    current.unlink(missing_ok=True)
    current.symlink_to(log.name)

    def say(level, text):
        os.write(writer, (json.dumps([level, text]) + "\n").encode())

    name = task.name + ("_setscene" if setscene else "")
    say("note", f"recipe {task.recipe.pf}: task {name}: Started")
    print(f"DEBUG: Executing task {name}")
    task.say = say
    try:
        if setscene:
            task.shared.restore(task)
        else:
            task.unmark()
            if task.shared is not None:
                task.shared.clean(task)
            faults.before(task)
            task.fails = faults.fails(task)
            task.action(task)
            if task.fails:
                raise TaskError(f"standin: {task.name} was told to fail")
            if task.shared is not None:
                task.shared.publish(task)
            if not task.tainted and task.shared is not None:
                task.shared.store(task)
        task.mark(setscene)
    except TaskError as error:
        print(f"ERROR: {error}")
        print(f"WARNING: exit code 1 from a shell command.\nDEBUG: Python function {name} finished")
        run_file = log.with_name(f"run.{name}.{os.getpid()}")
        say("error", f"ExecutionError('{run_file}', 1, None, None)")
        return 1
    except Exception:
        traceback.print_exc()
        say("error", f"Error executing a python function in {task.recipe.file}")
        return 1
    print(f"DEBUG: Python function {name} finished")
    return 0
