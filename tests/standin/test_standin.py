"""Tests of the stand-in's parts that need neither kas nor a container: python3 -m unittest <this file>."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE / "isar/bitbake/lib"))

from standin import conf, console, cpio, debian, faults, imager, runqueue, sstate  # noqa: E402


def parsed(text, **values):
    data = conf.Data()
    for name, value in values.items():
        data.set(name, value)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        data.parse(file.name)
    return data


class Language(unittest.TestCase):
    def test_operators(self):
        data = parsed('A = "1"\nA += "2"\nA .= "3"\nA =+ "0"\nB ?= "x"\nB ?= "y"\nC ??= "weak"\nD ??= "weak"\nD ?= "strong"\n')
        self.assertEqual([data.get(n) for n in "ABCD"], ["0 1 23", "x", "weak", "strong"])

    def test_append_waits_for_the_value_and_remove_wins(self):
        data = parsed('L:append = " b"\nL:prepend = "z "\nL:remove = "a"\nL = "a c"\n')
        self.assertEqual(data.get("L").split(), ["z", "c", "b"])

    def test_overrides(self):
        text = 'OVERRIDES = "arm64:qemuarm64"\nK = "plain"\nK:arm64 = "arch"\nK:qemuarm64 = "machine"\nK:amd64 = "other"\n'
        data = parsed(text + 'I = "a"\nI:append:arm64 = " b"\nI:append:amd64 = " c"\n')
        self.assertEqual((data.get("K"), data.get("I")), ("machine", "a b"))

    def test_expansion(self):
        text = 'A = "${B} ${UNKNOWN}"\nB = "${@\'yes\' if d.getVar(\'C\') == \'1\' else \'no\'}"\nC = "1"\n'
        self.assertEqual(parsed(text).get("A"), "yes ${UNKNOWN}")

    def test_functions_continuations_flags_and_python(self):
        text = 'LONG = "a \\\n  b"\nX[doc] = "flag"\ndo_install() {\n    echo ${LONG}\n}\npython () {\n    pass\n}\ndef f():\n    pass\nY = "1"\n'
        data = parsed(text)
        self.assertEqual((data.words("LONG"), data.get("Y"), data.get("X")), (["a", "b"], "1", None))
        self.assertIn("echo ${LONG}", data.functions["do_install"])

    def test_a_line_that_is_none_is_named(self):
        with self.assertRaisesRegex(conf.ParseError, r":2: unparsed line: 'nonsense here'"):
            parsed('A = "1"\nnonsense here\n')


class Formats(unittest.TestCase):
    def test_cpio_is_aligned_and_ends(self):
        archive = cpio.Archive()
        archive.file("init", b"abc", 0o755)
        data = archive.finish()
        self.assertEqual((data[:6], len(data) % 4), (b"070701", 0))
        self.assertIn(b"TRAILER!!!", data)

    def test_foreign_elf_is_of_the_other_architecture(self):
        for arch, machine in (("amd64", 183), ("arm64", 62)):
            elf = faults.foreign_elf(arch)
            self.assertEqual((elf[:4], int.from_bytes(elf[18:20], "little")), (b"\x7fELF", machine))

    def test_block_map_lists_data_and_no_holes(self):
        with tempfile.TemporaryDirectory() as directory:
            image = Path(directory) / "image"
            with open(image, "wb") as file:
                file.truncate(1 << 20)
                file.seek(512 << 10)
                file.write(b"x" * 4096)
            text = imager.block_map(image)
        self.assertIn("<MappedBlocksCount> 1 </MappedBlocksCount>", text)
        self.assertIn("> 128 </Range>", text)

    def test_manifest(self):
        status = "Package: a\nStatus: install ok installed\nSource: src (1.0)\nVersion: 1.0-2\nArchitecture: amd64\n\n"
        self.assertEqual(debian.manifest(status), "src|1.0|a:amd64|1.0-2\n")


class Queue(unittest.TestCase):
    """Stamps, shared state and numbers, with tasks that write a file."""

    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)

    def build(self, directory, variant, broken=()):
        top = Path(self.scratch.name) / directory

        class Recipe:
            pn, pf, multiconfig, identifier, file = "image", "image-1.0-r0", "", "/image.bb", "/image.bb"
            workdir, tmpdir, stamp = str(top / "work"), str(top), str(top / "stamps/1.0-r0")
            data = conf.Data()

        def make(task):
            (top / "work/files").mkdir(exist_ok=True)
            (top / "work/files/kernel").write_text(variant)

        data = conf.Data()
        data.set("STANDIN_FAIL_TASK", " ".join(broken))
        knobs = faults.TaskFaults(data)
        shared = sstate.Shared(Path(self.scratch.name) / "sstate", "amd64", files="files", deploy=str(top / "deploy"))
        first = runqueue.Task(Recipe, "do_fetch", lambda task: None)
        kernel = runqueue.Task(Recipe, "do_kernel", make, [first], variant, shared)
        last = runqueue.Task(Recipe, "do_build", None, [kernel])
        tasks = runqueue.order([last])
        runqueue.hash_tasks(tasks, knobs, "code")
        screen = console.Console()
        queue = runqueue.RunQueue(tasks, [last], screen, knobs, {"threads": 2, "keep_going": False, "alive_after": 60})
        with open(os.devnull, "w") as null:
            kept, sys.stdout, errors, sys.stderr = sys.stdout, null, sys.stderr, null
            try:
                queue.plan()
                good = queue.execute()
            finally:
                sys.stdout, sys.stderr = kept, errors
        deployed = top / "deploy/kernel"
        return good, len(queue.run_for_real), len(queue.restore), deployed.read_text() if deployed.exists() else None

    def test_run_noop_restore_and_change(self):
        self.assertEqual(self.build("one", "a"), (True, 3, 0, "a"))
        self.assertEqual(self.build("one", "a"), (True, 0, 0, "a"))
        self.assertEqual(self.build("two", "a"), (True, 1, 1, "a"))
        self.assertEqual(os.stat(Path(self.scratch.name) / "two/deploy/kernel").st_nlink, 2)
        self.assertEqual(self.build("one", "b"), (True, 2, 0, "b"))
        self.assertEqual(self.build("one", "a"), (True, 1, 1, "a"))

    def test_a_failed_task_is_run_again_and_removed_what_it_had_deployed(self):
        self.build("one", "a")
        good, _, _, deployed = self.build("one", "b", broken=["do_kernel"])
        self.assertEqual((good, deployed), (False, None))
        self.assertEqual(self.build("one", "a"), (True, 1, 1, "a"))


class Repository(unittest.TestCase):
    def test_standin_yml_pins_what_isar_gives(self):
        subprocess.run([HERE / "make-repo", "--check"], check=True)


if __name__ == "__main__":
    unittest.main()
