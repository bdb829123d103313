"""Prints what BitBake's user interface prints when no terminal is attached.

Everything below ERROR goes to standard output, ERROR to standard error: kas gives the first its
level INFO, the second ERROR, and adds the time. Like the real one, messages of the logger are
flushed at once and what print() writes waits for the next of them.
"""

import sys


class Console:
    def __init__(self):
        self.warnings = 0
        self.errors = 0
        self.failed = []  # task identifiers
        self.flush = True  # STANDIN_UNFLUSHED = "1": leave it to the interpreter's buffering

    def plain(self, text, end="\n"):
        sys.stdout.write(text + end)

    def _log(self, stream, text):
        stream.write(text + "\n")
        if self.flush:
            stream.flush()

    def note(self, text):
        self._log(sys.stdout, f"NOTE: {text}")

    def message(self, text):
        """A message without a level word."""
        self._log(sys.stdout, text)

    def warn(self, text):
        self.warnings += 1
        self._log(sys.stdout, f"WARNING: {text}")

    def error(self, text):
        self.errors += 1
        sys.stdout.flush()
        self._log(sys.stderr, f"ERROR: {text}")

    def step(self, name):
        """`Parsing recipes...`; the caller prints `done.` when it is over."""
        self.plain(f"{name}...", end="")
        sys.stdout.flush()

    def done(self):
        self.plain("done.")
        if self.flush:
            sys.stdout.flush()

    def summary(self, status, interrupted=False):
        """The last lines; `status` is the exit code that they explain."""
        def counted(singular, plural, count):
            return (singular if count == 1 else plural).format(count)

        text = ""
        if self.failed:
            text += counted("\nSummary: {} task failed:", "\nSummary: {} tasks failed:", len(self.failed))
            text += "".join(f"\n  {task}" for task in self.failed)
        if self.warnings:
            text += counted("\nSummary: There was {} WARNING message.",
                            "\nSummary: There were {} WARNING messages.", self.warnings)
        if status and self.errors:
            text += counted("\nSummary: There was {} ERROR message, returning a non-zero exit code.",
                            "\nSummary: There were {} ERROR messages, returning a non-zero exit code.", self.errors)
        if text:
            self.plain(text)
        if interrupted:
            self.plain("Execution was interrupted, returning a non-zero exit code.")
        sys.stdout.flush()
