#!/usr/bin/env python3
"""Random trees of kas files, and what kas itself makes of each.

usage: kas_dumps.py DIRECTORY COUNT SEED

Writes COUNT trees below DIRECTORY and prints one JSON object a line for each:
    {"tree", "files": [absolute], "root", "work", "kas": {"dump", "files", "repos", "targets"} | {"error"}}

kas is imported once; every tree goes through the code of `kas dump --format json`, with all that it checks
out. Most repositories are local directories; some are clones of one bare repository.
"""
import contextlib
import io
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from kas import kas as kas_main
from kas.context import create_global_context, get_context
from kas.plugins.dump import Dump
from kas import includehandler
from kas.repos import Repo

WORDS = ["isar", "extra", "third", "this", "x"]
LAYERS = ["meta", "meta-isar", "meta-x", "."]
DISABLED = ["disabled", "excluded", "n", "no", "0", "false", 0, False]


class Generator:
    def __init__(self, seed, bare, commits):
        self.random = random.Random(seed)
        self.bare = bare
        self.commits = commits
        # Repositories that includes may name.
        self.known = []

    def maybe(self, probability):
        return self.random.random() < probability

    def choice(self, values):
        return self.random.choice(values)

    # Values

    def text(self):
        return self.choice([
            "a", "one", "two words", "http://x/y?z", "012", "yes", "null", "1e3", "0x10", "-", "é", "a: b", "#c",
            "line\nline\n", "end\n\n", " lead", "~", "{a}", "[b]", "'q'", "\"d\"", "back\\slash", "tab\tin", "<<",
        ])

    def layers(self):
        layers = {}
        for name in self.random.sample(LAYERS, self.random.randint(0, 3)):
            layers[name] = self.choice([None, None, {"prio": self.random.randint(-9, 9)}, self.choice(DISABLED)])
        return layers

    def repo(self, name):
        kind = self.random.random()
        if kind < 0.15:
            return None
        repo = {}
        if kind < 0.45:
            repo["url"] = f"file://{self.bare}"
            ref = self.random.random()
            if ref < 0.5:
                repo["commit"] = self.choice(self.commits)
            if 0.4 < ref < 0.7:
                repo["branch"] = self.choice(["main", "next"]) if self.maybe(0.9) else None
            elif 0.7 <= ref < 0.93:
                repo["tag"] = "v1" if self.maybe(0.9) else None
            if ref >= 0.93:
                repo["refspec"] = self.choice(["main", self.commits[0]])
        elif kind < 0.8:
            repo["path"] = self.choice(["local-a", "local-b", None])
            if self.maybe(0.2):
                repo["url"] = None
        elif self.maybe(0.5):
            repo["commit"] = self.choice(self.commits)
        if self.maybe(0.5):
            repo["layers"] = self.layers()
        if self.maybe(0.1):
            repo["name"] = self.choice(["other-name", name])
        if self.maybe(0.1):
            repo["patches"] = {
                "p1": self.choice([None, {"path": "a.patch", "repo": "this"}, {"path": "b.patch", "repo": "x"}]),
            }
        if self.maybe(0.03):
            repo["signed"] = self.maybe(0.1)
        return repo

    def overrides(self):
        repos = {}
        for name in self.random.sample(WORDS, self.random.randint(1, 2)):
            if self.maybe(0.01):
                repos[name] = None
                continue
            repos[name] = {}
            if self.maybe(0.7):
                repos[name]["commit"] = self.choice(self.commits + [None])
            if self.maybe(0.2):
                repos[name]["branch"] = self.choice(["main", None])
            if self.maybe(0.2):
                repos[name]["url"] = f"file://{self.bare}" if self.maybe(0.95) else None
        return {"repos": repos} if self.maybe(0.95) else {}

    def file(self, files, is_lock=False):
        content = {"header": {"version": self.choice([14, 15, 17, 19, 23]) if self.maybe(0.99) else "0.10"}}
        if is_lock:
            content["overrides"] = self.overrides()
            return content
        if self.maybe(0.6):
            content["repos"] = {name: self.repo(name) for name in self.random.sample(WORDS, self.random.randint(1, 3))}
            self.known = list(content["repos"]) if self.maybe(0.98) else WORDS
        includes = []
        for _ in range(self.random.choice([0, 0, 1, 1, 2, 3])):
            if files and self.maybe(0.75):
                includes.append(self.choice(files))
            elif self.known:
                includes.append({"repo": self.choice(self.known), "file": self.choice(["x.yml", "kas/y.yml", "a.yml"])})
        if includes or self.maybe(0.1):
            content["header"]["includes"] = includes
        if self.maybe(0.25):
            content["overrides"] = self.overrides()
        if self.maybe(0.15):
            defaults = {}
            if self.maybe(0.7):
                defaults["branch"] = self.choice(["main", "next"])
            if self.maybe(0.02):
                defaults["tag"] = "v1"
            if self.maybe(0.3):
                defaults["patches"] = {"repo": "this"}
            content["defaults"] = {"repos": defaults}
        for key, value in (("machine", self.text), ("distro", self.text), ("task", self.text)):
            if self.maybe(0.2):
                content[key] = value()
        if self.maybe(0.3):
            content["target"] = self.choice([self.text(), [self.text(), "mc:a:b"], []])
        if self.maybe(0.3):
            content["env"] = {self.choice("ABC"): self.choice([self.text(), None]) for _ in range(2)}
        for key in ("local_conf_header", "bblayers_conf_header"):
            if self.maybe(0.3):
                content[key] = {self.choice(["a", "b", "one"]): self.text() for _ in range(2)}
        if self.maybe(0.1):
            content["build_system"] = self.choice(["isar", "isar-rootless", "oe", "isar-privileged"])
        return content

    def leaf(self, files=()):
        """A file that mostly includes nothing."""
        content = self.file(list(files))
        if self.maybe(0.8):
            content["header"].pop("includes", None)
        return content

    # Text

    def scalar(self, value, indent):
        if value is None:
            return self.choice(["", " null", " ~"])
        if value is True:
            return self.choice([" true", " yes", " on", " True"])
        if value is False:
            return self.choice([" false", " no", " off"])
        if isinstance(value, int):
            return f" {value}"
        style = self.random.random()
        if "\n" in value and style < 0.6:
            body = value.rstrip("\n")
            tail = len(value) - len(body)
            pad = " " * (indent + self.choice([1, 2, 4]))
            header = "|" if tail == 1 else "|-" if tail == 0 else "|+"
            if not body or body.startswith(" "):
                return " " + json.dumps(value, ensure_ascii=self.maybe(0.5))
            lines = "".join(f"\n{pad}{line}" if line else "\n" for line in body.split("\n"))
            return f" {header}{lines}" + "\n" * max(tail - 1, 0)
        if style < 0.3 and value and all(c.isalnum() for c in value) and value.isascii() and not value[0].isdigit() \
                and value.lower() not in ("yes", "no", "on", "off", "null", "true", "false"):
            return f" {value}"
        if style < 0.5 and "\n" not in value and "\t" not in value:
            return " '" + value.replace("'", "''") + "'"
        quoted = json.dumps(value, ensure_ascii=self.maybe(0.5))
        if self.maybe(0.3):
            quoted = quoted.replace("/", "\\/")
        if " " in value and "\\" not in quoted and not value.startswith(" ") and self.maybe(0.5):
            # Quoted text that goes on at the column of its key, or before it.
            head, tail = quoted.split(" ", 1)
            quoted = f"{head}\n{' ' * max(indent, 1)}{tail}"
        return " " + quoted

    def block(self, value, indent):
        pad = " " * indent
        if isinstance(value, dict):
            if not value:
                return " {}\n"
            out = "\n"
            anchors = {}
            for key, item in value.items():
                shown = key if key.replace("-", "").replace("_", "").isalnum() and not key[0].isdigit() \
                    and key.lower() not in ("n", "y", "no", "yes", "on", "off", "null") else json.dumps(key)
                if self.maybe(0.03):
                    # The last of equal keys counts.
                    out += f"{pad}{shown}:{self.block(self.choice([None, 'x']), indent + 2)}"
                same = next((name for name, (other, _) in anchors.items() if other == item), None)
                if same is not None and isinstance(item, dict) and item and self.maybe(0.5):
                    out += f"{pad}{shown}: *{same}\n"
                    continue
                if isinstance(item, dict) and item and self.maybe(0.15):
                    name = f"a{self.random.randrange(10 ** 6)}"
                    anchors[name] = (item, indent)
                    out += f"{pad}{shown}: &{name}{self.block(item, indent + 2)}"
                    continue
                if isinstance(item, dict) and item and anchors and self.maybe(0.3):
                    name = self.choice(list(anchors))
                    under = anchors[name][0]
                    if all(key in item for key in under):
                        rest = {k: v for k, v in item.items() if k not in under or under[k] != v}
                        body = self.block(rest, indent + 2) if rest else "\n"
                        out += f"{pad}{shown}:\n{pad}  <<: *{name}{body}"
                        continue
                out += f"{pad}{shown}:{self.block(item, indent + self.choice([2, 2, 4]))}"
            return out
        if isinstance(value, list):
            if not value:
                return " []\n"
            if self.maybe(0.2) and all(isinstance(item, str) for item in value):
                return " [" + ", ".join(json.dumps(item) for item in value) + "]\n"
            out = "\n"
            for item in value:
                if isinstance(item, dict):
                    body = self.block(item, indent + 2)
                    out += f"{pad}-{body}" if self.maybe(0.3) else f"{pad}- {json.dumps(item)}\n"
                else:
                    out += f"{pad}-{self.scalar(item, indent + 1)}\n"
            return out
        return self.scalar(value, indent - 2) + self.choice(["\n", "\n", " # c\n" if self.plain_end(value) else "\n"])

    @staticmethod
    def plain_end(value):
        return not isinstance(value, str) or "\n" not in value

    def write(self, path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            text = json.dumps(content, indent=self.choice([None, 2]), ensure_ascii=self.maybe(0.5))
            if self.maybe(0.2):
                text = text.replace("/", "\\/")
        else:
            text = self.choice(["", "---\n", "# first\n", "%YAML 1.1\n---\n"]) + self.block(content, 0).lstrip("\n")
            if self.maybe(0.1):
                text = text.rstrip("\n")
            if self.maybe(0.01):
                text = text.replace("  ", "\t", 1)
            if self.maybe(0.03):
                text = text.replace("\n", "\r\n")
        path.write_text(text, encoding="utf-8", newline="")

    def tree(self, directory, git):
        """Writes one tree; the top files, relative to its root."""
        root = directory / "project"
        work = directory / "work"
        work.mkdir(parents=True)
        root.mkdir()
        if self.maybe(0.8):
            shutil.copytree(git, root / ".git")
        names = [self.choice(["a.yml", "kas/a.yml"]), "b.yml", "kas/c.yaml", "d.json", "kas/sub/e.yml"]
        names = names[:self.random.randint(2, 5)]
        # A file includes later ones alone, mostly, so that few chains are circles.
        for index, name in enumerate(names):
            pool = names[index + 1:]
            if self.maybe(0.03):
                pool = names + ["../out.yml", "missing.yml"]
            if self.maybe(0.04):
                pool = [os.path.basename(entry) for entry in pool]
            content = self.file(pool)
            if index + 1 == len(names) and content["header"].get("includes") and self.maybe(0.95):
                content["header"]["includes"] = [
                    include for include in content["header"]["includes"] if not isinstance(include, str)]
            self.write(root / name, content)
            if self.maybe(0.2):
                path = root / name
                self.write(path.with_name(f"{path.stem}.lock{path.suffix}"), self.file([], is_lock=True))
        for name in ("a.yml", "x.yml", "kas/y.yml"):
            if not (root / name).exists():
                self.write(root / name, self.leaf())
        for local in ("local-a", "local-b"):
            for name in ("x.yml", "kas/y.yml", "a.yml"):
                if self.maybe(0.95):
                    self.write(work / local / name, self.leaf(["a.yml"] if name != "a.yml" else []))
            if self.maybe(0.2):
                self.write(work / local / "x.lock.yml", self.file([], is_lock=True))
        if self.maybe(0.1):
            target = root / names[-1]
            link = root / "link.yml"
            if target.suffix == ".yml":
                link.symlink_to(target)
                names.append("link.yml")
        top = [names[0]]
        if self.maybe(0.4):
            top += self.random.sample(names, self.random.randint(1, min(2, len(names))))
        return root, work, top


def git(*words, cwd=None):
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b",
               GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b")
    run = subprocess.run(["git", *words], cwd=cwd, env=env, check=True, capture_output=True, text=True)
    return run.stdout.strip()


def bare_repository(directory):
    """A repository with branches main and next, tag v1 and kas files; its path and commits."""
    source = directory / "source"
    source.mkdir()
    git("init", "-q", "-b", "main", cwd=source)
    commits = []
    for version in range(2):
        (source / "kas").mkdir(exist_ok=True)
        (source / "x.yml").write_text(f"header:\n  version: 14\nmachine: from-x-{version}\n")
        (source / "a.yml").write_text(f"header:\n  version: 14\ndistro: from-a-{version}\n")
        (source / "kas/y.yml").write_text(
            "header:\n  version: 14\n  includes:\n    - a.yml\nrepos:\n  isar:\n    layers:\n      meta-y:\n")
        git("add", "-A", cwd=source)
        git("commit", "-q", "-m", str(version), cwd=source)
        commits.append(git("rev-parse", "HEAD", cwd=source))
        if version == 0:
            git("tag", "v1", cwd=source)
    git("branch", "next", cwd=source)
    bare = directory / "bare.git"
    git("clone", "-q", "--bare", str(source), str(bare))
    return bare, commits


def ask_kas(root, work, top):
    """What kas makes of a chain."""
    os.environ["KAS_WORK_DIR"] = str(work)
    os.environ["KAS_REPO_REF_DIR"] = str(work.parent.parent / "refs")
    os.environ.pop("KAS_BUILD_DIR", None)
    os.chdir(root)
    Repo.__legacy_refspec_warned__ = []
    files = ":".join(str(root / name) for name in top)
    args = kas_main.kas_get_argparser().parse_args(["dump", "--format", "json", "--skip", "setup_home", files])
    out = io.StringIO()
    create_global_context(args)
    with contextlib.redirect_stdout(out):
        Dump().run(args)
    config = get_context().config
    repos = {}
    for key, repo in config.repo_dict.items():
        repos[key] = {
            "name": repo.name, "url": repo.url, "path": repo.path, "commit": repo.commit, "branch": repo.branch,
            "layers": [[layer.name, layer.priority] for layer in repo.layers],
            "patches": [[patch["id"], patch["repo"], patch["path"]] for patch in repo._patches],
            "signers": repo.allowed_signers,
        }
    return {
        "dump": json.loads(out.getvalue()),
        "files": [os.path.realpath(file.filename) for file in config.handler.config_files],
        "repos": repos,
        "targets": config.get_bitbake_targets(),
    }


def main():
    directory, count, seed = Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3])
    directory.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)
    for name in list(os.environ):
        if name.startswith(("KAS_", "GIT_")):
            del os.environ[name]
    os.environ["GIT_CONFIG_GLOBAL"] = "/dev/null"
    bare, commits = bare_repository(directory)
    template = directory / "template"
    template.mkdir()
    git("init", "-q", cwd=template)
    shutil.rmtree(template / ".git/hooks", ignore_errors=True)
    sys.setrecursionlimit(2000)
    for index in range(count):
        generator = Generator(seed * 1_000_003 + index, bare, commits)
        place = directory / f"tree-{index}"
        root, work, top = generator.tree(place, template / ".git")
        answer = {"tree": str(place), "files": [str(root / name) for name in top], "work": str(work)}
        try:
            answer["kas"] = ask_kas(root, work, top)
        except (Exception, RecursionError) as error:
            answer["kas"] = {"error": f"{type(error).__name__}: {error}"[:300]}
        first = (root / top[0]).parent
        is_git = (root / ".git").is_dir()
        answer["root"] = str(root if is_git else first)
        print(json.dumps(answer), flush=True)


main()
