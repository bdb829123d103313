"""Reads the subset of BitBake's language that configurations and simple recipes use.

Knows nothing of tasks. Left out: override syntax with more than one active override in a name,
`:=` as anything but `=`, anonymous python functions, classes (an `inherit` is only recorded).
"""

import os
import re
from pathlib import Path

ASSIGNMENT = re.compile(
    r"""^(?:export\s+)?(?P<name>[\w.+:/${}-]+?)(?:\[(?P<flag>[\w.-]+)\])?
        \s*(?P<op>\?\?=|\?=|:=|\+=|=\+|\.=|=\.|=)\s*(?P<quote>["'])(?P<value>.*)(?P=quote)\s*$""",
    re.VERBOSE | re.DOTALL,
)
FUNCTION = re.compile(r"^(?P<python>python\b)?\s*(?:fakeroot\s+)?(?P<name>[\w:-]*)\s*\(\s*\)\s*\{\s*$")
DIRECTIVE = re.compile(r"^(?P<word>include|require|inherit|addtask|deltask|addhandler|EXPORT_FUNCTIONS|export)\s+(?P<rest>.+)$")
VARIABLE = re.compile(r"\$\{([A-Za-z0-9_.+/:-]+)\}")
PYTHON = re.compile(r"\$\{@((?:\{.*?\}|.)+?)\}", re.DOTALL)
OPERATORS = ("append", "prepend", "remove")


class ParseError(Exception):
    """A line that cannot be read; the text names file and line as BitBake does."""


class Utils:
    """What inline python of configurations asks of bb.utils."""

    @staticmethod
    def contains(variable, checkvalues, truevalue, falsevalue, data):
        have = set((data.getVar(variable) or "").split())
        return truevalue if set(checkvalues.split()) <= have else falsevalue

    @staticmethod
    def to_boolean(value, default=False):
        return default if not value else str(value).lower() in ("y", "yes", "1", "true", "t")


class BB:
    utils = Utils


class Data:
    """Variables of one recipe, or of the configuration that recipes start from."""

    def __init__(self, other=None):
        self.values = dict(other.values) if other else {}
        self.defaults = dict(other.defaults) if other else {}
        self.operations = {k: list(v) for k, v in other.operations.items()} if other else {}
        self.functions = dict(other.functions) if other else {}
        self.inherits = list(other.inherits) if other else []
        self._overrides = None

    # Reading

    def get(self, name, default=None):
        value = self._value(name, self.overrides())
        return default if value is None else value

    getVar = get  # the name that inline python uses

    def words(self, name):
        return self.get(name, "").split()

    def overrides(self):
        """Active overrides, weakest first."""
        if self._overrides is None:
            self._overrides = []  # OVERRIDES itself is read without overrides
            self._overrides = [o for o in (self._value("OVERRIDES", []) or "").split(":") if o]
        return self._overrides

    def _value(self, name, overrides):
        chosen = name
        for override in overrides:
            key = f"{name}:{override}"
            if key in self.values or key in self.defaults or key in self.operations:
                chosen = key
        value = self.values.get(chosen, self.defaults.get(chosen))
        operations = self.operations.get(chosen, [])
        if chosen != name and value is None:  # only VAR:override:append exists
            value = self.values.get(name, self.defaults.get(name))
            operations = self.operations.get(name, []) + operations
        removed = set()
        for operator, needed, text in operations:
            if not all(n in overrides for n in needed):
                continue
            if operator == "append":
                value = (value or "") + text
            elif operator == "prepend":
                value = text + (value or "")
            else:
                removed.update(self.expand(text).split())
        if value is None:
            return None
        value = self.expand(value)
        if removed:
            value = " ".join(w for w in value.split() if w not in removed)
        return value

    def expand(self, text, depth=0):
        """Replaces ${NAME} and ${@python}; an unknown name stays as it is, for the shell."""
        if depth > 20 or "${" not in text:
            return text

        def python(match):
            try:
                return str(eval(match.group(1), {"bb": BB, "d": self, "os": os}))
            except Exception as error:
                raise ParseError(f"Failure expanding expression {match.group(0)}: {error}") from error

        def variable(match):
            value = self.get(match.group(1))
            return match.group(0) if value is None else value

        new = VARIABLE.sub(variable, PYTHON.sub(python, text))
        return new if new == text else self.expand(new, depth + 1)

    def referenced(self, text, seen=None):
        """Names of all variables that a text depends on, through others too."""
        seen = set() if seen is None else seen
        for name in VARIABLE.findall(text):
            if name not in seen:
                seen.add(name)
                raw = [self.values.get(name) or self.defaults.get(name) or ""]
                raw += [t for _, _, t in self.operations.get(name, [])]
                self.referenced("\n".join(raw), seen)
        return seen

    # Writing

    def set(self, name, value):
        self._overrides = None
        self.values[name] = value

    def assign(self, name, operator, value):
        self._overrides = None
        if "${" in name:
            name = self.expand(name)
        parts = name.split(":")
        for index, part in enumerate(parts):
            if part in OPERATORS and index:
                key = ":".join(parts[:index])
                self.operations.setdefault(key, []).append((part, parts[index + 1:], value))
                return
        if operator in ("=", ":="):
            self.values[name] = value
        elif operator == "?=":
            self.values.setdefault(name, value)
        elif operator == "??=":
            self.defaults[name] = value
        else:
            old = self.values.get(name, "")
            joined = {"+=": old + " " + value, "=+": value + " " + old, ".=": old + value, "=.": value + old}
            self.values[name] = joined[operator]

    # Files

    def parse(self, path, search=()):
        """Reads a file; include and require look for theirs in its directory and in `search`."""
        path = Path(path)
        lines = path.read_text().splitlines()
        number = 0
        while number < len(lines):
            line = lines[number]
            start = number
            number += 1
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            function = FUNCTION.match(line)
            if function:
                body = []
                while number < len(lines) and lines[number].rstrip() != "}":
                    body.append(lines[number])
                    number += 1
                number += 1
                if function["name"] and not function["python"]:
                    self.functions[function["name"]] = "\n".join(body)
                continue
            if line.startswith("def "):
                while number < len(lines) and (not lines[number].strip() or lines[number][0] in " \t"):
                    number += 1
                continue
            while line.endswith("\\") and number < len(lines):
                line = line[:-1] + lines[number]
                number += 1
            assignment = ASSIGNMENT.match(line)
            directive = DIRECTIVE.match(line)
            if assignment:
                if not assignment["flag"]:
                    self.assign(assignment["name"], assignment["op"], assignment["value"])
            elif directive:
                self._directive(directive["word"], directive["rest"], path, start, search)
            else:
                raise ParseError(f"ParseError at {path}:{start + 1}: unparsed line: '{line}'")

    def _directive(self, word, rest, path, start, search):
        if word == "inherit":
            self.inherits += self.expand(rest).split()
        if word not in ("include", "require"):
            return
        name = self.expand(rest.strip())
        for directory in (path.parent, *search):
            if (Path(directory) / name).is_file():
                self.parse(Path(directory) / name, search)
                return
        if word == "require":
            raise ParseError(f"ParseError at {path}:{start + 1}: Could not include required file {name}")


def load(topdir, environment, multiconfig):
    """Configuration of one multiconfig ('' is the default one): layers, local.conf, machine, distro."""
    data = Data()
    data.set("TOPDIR", str(topdir))
    data.set("BB_CURRENT_MC", multiconfig or "default")
    passed = environment.get("BB_ENV_PASSTHROUGH_ADDITIONS", "").split()
    passed += ["DL_DIR", "SSTATE_DIR", "BB_NUMBER_THREADS", "MACHINE", "DISTRO", "TMPDIR", "DISTRO_APT_PREMIRRORS"]
    for name in passed:
        if name in environment:
            data.set(name, environment[name])
    conf = Path(topdir) / "conf"
    data.parse(conf / "bblayers.conf")
    layers = [Path(p) for p in data.words("BBLAYERS")]
    for layer in layers:
        if not (layer / "conf/layer.conf").is_file():
            raise ParseError(f"Unable to parse {layer}/conf/layer.conf: No such file or directory")
        data.set("LAYERDIR", str(layer))
        before = {k: v for k, v in data.values.items()}
        data.parse(layer / "conf/layer.conf")
        for name, value in list(data.values.items()):  # LAYERDIR is this layer's only here
            if before.get(name) != value:
                data.values[name] = value.replace("${LAYERDIR_RE}", str(layer)).replace("${LAYERDIR}", str(layer))
    search = [topdir, *layers]
    core = Path(__file__).resolve().parents[3] / "meta/conf/bitbake.conf"
    data.parse(core)
    data.parse(conf / "local.conf", search)
    if multiconfig:
        _require(data, f"conf/multiconfig/{multiconfig}.conf", search)
    _require(data, f"conf/machine/{data.get('MACHINE')}.conf", search)
    _require(data, f"conf/distro/{data.get('DISTRO')}.conf", search)
    data.set("BBLAYERS", " ".join(str(layer) for layer in layers))
    return data


def _require(data, name, search):
    for directory in search:
        if (Path(directory) / name).is_file():
            data.parse(Path(directory) / name, search)
            return
    raise ParseError(f"ParseError at {search[0]}/conf/local.conf:1: Could not include required file {name}")


def recipes(data):
    """Maps PN to (file, Data) for every recipe that the layers' BBFILES name."""
    files, appends = [], []
    for pattern in data.words("BBFILES"):
        root, _, rest = pattern.partition("/")
        for found in sorted(Path("/").glob(pattern.lstrip("/"))) if not root else []:
            (appends if found.suffix == ".bbappend" else files).append(found)
    found = {}
    for file in dict.fromkeys(files):
        recipe = Data(data)
        name, _, version = file.stem.partition("_")
        recipe.set("FILE", str(file))
        recipe.set("PN", name)
        recipe.set("BPN", name)
        if version:
            recipe.set("PV", version)
        search = [Path(layer) for layer in data.words("BBLAYERS")]
        recipe.parse(file, search)
        for extra in dict.fromkeys(appends):
            stem, _, wanted = extra.stem.partition("_")
            if stem == name and wanted in ("", "%", version):
                recipe.parse(extra, search)
        found[recipe.get("PN")] = (file, recipe)
    return found
