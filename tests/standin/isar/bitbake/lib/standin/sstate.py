"""Shared state: the result of a task, kept under its hash for other build directories.

Two kinds. Files that are deployed: the task leaves them in its own directory and they are hard-linked
into the deploy directory, after what an earlier build of the recipe deployed was removed. A directory
tree: restored by unpacking over whatever is there, where running the task cleans it first; this is
how leftovers of another variant survive in the real one.
"""

import json
import os
import shutil
from pathlib import Path

from .tools import link_or_copy, run, shell


class Shared:
    def __init__(self, directory, arch, files=None, deploy=None, tree=None, over=True):
        self.directory = Path(directory)
        self.arch = arch
        self.files = files  # directory with the files to deploy, relative to the work directory
        self.deploy = deploy
        self.tree = tree  # directory tree owned by root, relative to the work directory
        self.over = over  # restored over the old tree, as upstream does

    def archive(self, task):
        recipe = task.recipe
        name = (f"sstate:{recipe.pn}:{self.arch}-isar:{recipe.data.get('PV')}:{recipe.data.get('PR')}:"
                f"{self.arch}:12:{task.hash}_{task.name[3:]}.tar.zst")
        return self.directory / task.hash[:2] / task.hash[2:4] / name

    def _manifest(self, task):
        return Path(task.recipe.tmpdir) / "sstate-control" / f"manifest-{task.recipe.pn}.{task.name[3:]}"

    def clean(self, task):
        """Removes what the last run of this task deployed, whichever variant that was."""
        manifest = self._manifest(task)
        if manifest.exists():
            for line in manifest.read_text().splitlines():
                Path(line).unlink(missing_ok=True)
            manifest.unlink()

    def publish(self, task):
        """Links the task's files into the deploy directory."""
        if not self.files:
            return
        deployed = []
        target = Path(self.deploy)
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted((Path(task.recipe.workdir) / self.files).iterdir()):
            link_or_copy(file, target / file.name)
            deployed.append(str(target / file.name))
        manifest = self._manifest(task)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text("".join(f"{path}\n" for path in deployed))

    def store(self, task):
        archive = self.archive(task)
        if archive.exists():
            os.utime(archive)
            return
        archive.parent.mkdir(parents=True, exist_ok=True)
        temporary = archive.with_name(f"{archive.name}.{os.getpid()}.{os.uname().nodename}")
        tar = "$SUDO tar --xattrs --xattrs-include='*' --numeric-owner -cpSf - -C \"$1\" \"$2\" | zstd -q -T0 -1 > \"$3\""
        shell(self._sudo(tar), task.recipe.workdir, self.tree or self.files, temporary)
        Path(f"{archive}.siginfo").write_text(json.dumps(task.inputs, sort_keys=True, indent=1))
        os.replace(temporary, archive)

    def restore(self, task):
        self.clean(task)
        if self.files:  # these are the building user's; the tree below is unpacked over the old one
            shutil.rmtree(Path(task.recipe.workdir) / self.files, ignore_errors=True)
        if self.tree and not self.over:
            run(["rm", "-rf", Path(task.recipe.workdir) / self.tree], root=True)
        Path(task.recipe.workdir).mkdir(parents=True, exist_ok=True)
        tar = "zstd -qdc \"$2\" | $SUDO tar --xattrs --xattrs-include='*' --numeric-owner -xpSf - -C \"$1\""
        shell(self._sudo(tar), task.recipe.workdir, self.archive(task))
        os.utime(self.archive(task))
        self.publish(task)

    def _sudo(self, script):
        return script.replace("$SUDO ", "sudo -n " if self.tree and os.geteuid() else "")
