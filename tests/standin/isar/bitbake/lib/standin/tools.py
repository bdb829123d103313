"""Running programs, as the building user or as root, and small file helpers.

Output goes to the task's log: it is the standard output of the process that runs the task.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]


class TaskError(Exception):
    """A task that failed; the text ends up in its log."""


def run(command, root=False, **options):
    """Runs a command given as a list, prints it, and raises TaskError when it fails."""
    command = [str(word) for word in (ROOT if root else []) + command]
    print("+ " + shlex.join(command), flush=True)
    done = subprocess.run(command, **options)
    if done.returncode:
        raise TaskError(f"{shlex.join(command[:6])} failed with exit code {done.returncode}")
    return done


def output(command, **options):
    return run(command, stdout=subprocess.PIPE, text=True, **options).stdout


def shell(script, *arguments, root=False):
    """Runs a bash script that stops at the first failure; its arguments are $1, $2, …"""
    sys.stdout.flush()
    command = (ROOT if root else []) + ["bash", "-e", "-o", "pipefail", "-c", script, "standin", *map(str, arguments)]
    done = subprocess.run(command)
    if done.returncode:
        raise TaskError(f"script failed with exit code {done.returncode}: {script.strip().splitlines()[0]}")


def write_root(path, content, mode="0644"):
    """Writes a file that root owns."""
    text = content.encode() if isinstance(content, str) else content
    run(["install", "-D", "-m", mode, "-o", "0", "-g", "0", "/dev/stdin", path], root=True, input=text)


def link_or_copy(source, target):
    """A hard link that replaces `target` in one step, or a copy where links do not reach."""
    temporary = Path(f"{target}.{os.getpid()}.tmp")
    try:
        os.link(source, temporary)
    except OSError:
        temporary.write_bytes(Path(source).read_bytes())
    os.replace(temporary, target)
