"""The misbehaviour that STANDIN_ variables ask for; README.md has the table.

Faults of tasks change when and whether a task runs; faults of files spoil what was deployed after
everything succeeded, so that the exit code is 0 and only a look at the file can tell.
"""

import os
import struct
import subprocess
import time
from pathlib import Path

E_MACHINE = {"amd64": 62, "arm64": 183}


class TaskFaults:
    """A task is named as `do_x`, in any recipe but the build chroot's, or as `recipe:do_x`."""

    def __init__(self, data):
        self.fail = set(data.words("STANDIN_FAIL_TASK"))
        self.hang = set(data.words("STANDIN_HANG_TASK"))
        self.slow = {}
        for word in data.words("STANDIN_SLOW_TASK"):
            task, _, seconds = word.rpartition(":")
            self.slow[task] = float(seconds)

    @staticmethod
    def _names(task):
        names = {f"{task.recipe.pn}:{task.name}"}
        return names if task.recipe.pn.startswith("sbuild-chroot") else names | {task.name}

    def taints(self, task):
        """Such a task always runs for real: neither its stamp nor shared state satisfies it."""
        return bool(self._names(task) & (self.fail | self.hang | set(self.slow)))

    def before(self, task):
        for name in self._names(task):
            if name in self.slow:
                print(f"standin: {name} takes {self.slow[name]:g} s longer", flush=True)
                time.sleep(self.slow[name])
            if name in self.hang:
                print(f"standin: {name} hangs", flush=True)
                while True:
                    time.sleep(3600)

    def fails(self, task):
        return bool(self._names(task) & self.fail)


def foreign_elf(arch):
    """The smallest executable ELF file of an architecture other than `arch`: header, one segment."""
    machine = next(m for a, m in E_MACHINE.items() if a != arch)
    ident = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x400078, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 124, 124, 0x1000)
    return header + segment + b"\x90" * 4


def _bad_gpt(path):
    with open(path, "r+b") as image:
        image.seek(512 + 16)  # checksum of the primary header
        image.write(b"\xde\xad\xbe\xef")


def _bad_bmap(path):
    text = Path(path).read_text()
    index = text.index('chksum="') + len('chksum="')
    Path(path).write_text(text[:index] + "0" * 64 + text[index + 64:])


def _zero(path):
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.truncate(0)
        file.truncate(size)


def _replace(path, make):
    os.unlink(path)
    make()


FILE_FAULTS = {
    "STANDIN_SKIP_DEPLOY": os.unlink,
    "STANDIN_TRUNCATE": lambda path: os.truncate(path, os.path.getsize(path) // 2),
    "STANDIN_EMPTY": lambda path: os.truncate(path, 0),
    "STANDIN_ZERO": _zero,
    "STANDIN_BAD_GPT": _bad_gpt,
    "STANDIN_BAD_BMAP": _bad_bmap,
    "STANDIN_SYMLINK": lambda path: _replace(path, lambda: os.symlink("/etc/passwd", path)),
    "STANDIN_DIRECTORY": lambda path: _replace(path, lambda: os.mkdir(path)),
    "STANDIN_FIFO": lambda path: _replace(path, lambda: os.mkfifo(path)),
    "STANDIN_DEVICE": lambda path: _replace(
        path, lambda: subprocess.run(["sudo", "-n", "mknod", path, "c", "1", "5"], check=True)),
    "STANDIN_UNREADABLE": lambda path: subprocess.run(
        ["sudo", "-n", "sh", "-c", f"chown 0:0 '{path}' && chmod 0600 '{path}'"], check=True),
}


def spoil(data, prefix):
    """Applies the faults of files; `prefix` is the deployed name without its suffix."""
    for variable, action in FILE_FAULTS.items():
        for suffix in data.words(variable):
            path = f"{prefix}{suffix}"
            if os.path.lexists(path):
                action(path)
