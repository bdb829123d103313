"""Debian packages: an apt of our own for any architecture, a download cache, unpacking.

The package source is the one that the build container itself uses (it reaches it, whichever mirror
that is), with the suites of the target's distribution, and DISTRO_APT_PREMIRRORS applied.
"""

import os
import re
import subprocess
import time
from pathlib import Path

from .tools import TaskError, output, run, shell

# Left out of every unpacked package, to keep images small.
EXCLUDED = ["./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/lintian", "./usr/share/bug",
            "./usr/lib/*/gconv", "./usr/share/i18n"]


def container_mirrors():
    """URIs of the container's package sources: (archive, security archive)."""
    uris = []
    for file in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if not file.is_file():
            continue
        for line in file.read_text().splitlines():
            if re.match(r"deb\s", line) or line.startswith("URIs:"):
                uris += re.findall(r"[a-z]+://\S+", line)
    uris = [uri.rstrip("/") for uri in uris]
    archive = [uri for uri in uris if uri.endswith("/debian") or "/archive/debian/" in uri]
    security = [uri for uri in uris if "debian-security" in uri]
    if not archive:
        raise TaskError("no Debian archive among the container's package sources")
    return archive[0], (security or [None])[0]


def container_codename():
    text = Path("/etc/os-release").read_text()
    return re.search(r"^VERSION_CODENAME=(\w+)", text, re.MULTILINE).group(1)


def patiently(command, tries=5, seconds=90):
    """Runs a command that needs the network, again where it fails or does not end in time."""
    for left in reversed(range(tries)):
        try:
            return run(["timeout", seconds, *command])
        except TaskError:
            if not left:
                raise
            time.sleep(1)


class Apt:
    """apt for one architecture and distribution, with all its state in one directory.

    The distribution is the target's, or the container's where its codename is given.
    """

    def __init__(self, directory, data, arch, codename=None):
        self.directory = Path(directory)
        self.data = data
        self.arch = arch
        self.cache = Path(data.get("DL_DIR")) / "deb" / (f"debian-{codename}" if codename else data.get("DISTRO"))
        self.suites, self.security_suites = data.words("BASE_DISTRO_SUITES"), data.words("BASE_DISTRO_SECURITY_SUITES")
        if codename:
            self.suites, self.security_suites = [codename, f"{codename}-updates"], [f"{codename}-security"]

    def options(self):
        values = {
            "APT::Architecture": self.arch,
            "APT::Architectures": self.arch,
            "Dir::State": self.directory / "state",
            "Dir::State::status": self.directory / "status",
            "Dir::Cache": self.directory / "cache",
            "Dir::Etc::SourceList": self.directory / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Acquire::Languages": "none",
            # apt 2.6 can wait for ever for the retry of one index beside another; `patiently` tries again instead.
            "Acquire::Retries": "0",
            "APT::Update::Error-Mode": "any",
            # A proxy that loses one of several requests on a connection would be waited for for minutes.
            "Acquire::http::Pipeline-Depth": "0",
            "Acquire::http::Timeout": "15",
        }
        return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]

    def update(self):
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").touch()
        archive, security = container_mirrors()
        sources = [(archive, suite) for suite in self.suites]
        if security:
            sources += [(security, suite) for suite in self.security_suites]
        mirrors = [line.split() for line in self.data.get("DISTRO_APT_PREMIRRORS", "").replace("\\n", "\n").splitlines()]
        for pattern, replacement in (m for m in mirrors if len(m) == 2):
            sources = [(re.sub(pattern, replacement, uri), suite) for uri, suite in sources]
        text = "".join(f"deb {uri} {suite} main\n" for uri, suite in sources)
        (self.directory / "sources.list").write_text(text)
        patiently(["apt-get", *self.options(), "-q", "update"])

    def depends(self, package):
        """Names that a package depends on directly."""
        listing = output(["apt-cache", *self.options(), "depends", package])
        return re.findall(r"^  Depends: (\S+)", listing, re.MULTILINE)

    def resolve(self, packages):
        """Where packages are: {name: {uri, file, size, hash}}. Dependencies are not followed."""
        if not packages:
            return {}
        listing = output(["apt-get", *self.options(), "--print-uris", "download", *packages])
        found = {}
        for uri, file, size, digest in re.findall(r"^'([^']+)' (\S+) (\d+) (\S+)$", listing, re.MULTILINE):
            found[file.split("_")[0]] = {"uri": uri, "file": file, "size": int(size), "hash": digest}
        missing = set(packages) - set(found)
        if missing:
            raise TaskError(f"E: Unable to locate package {' '.join(sorted(missing))}")
        return found

    def fetch(self, resolved):
        """Puts packages into the download cache, unless they are there; returns their paths."""
        self.cache.mkdir(parents=True, exist_ok=True)
        paths = []
        for entry in resolved.values():
            path = self.cache / entry["file"]
            if not path.exists() or path.stat().st_size != entry["size"]:
                temporary = path.with_name(f"{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
                download = ["/usr/lib/apt/apt-helper", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=15"]
                patiently([*download, "download-file", entry["uri"], temporary, entry["hash"]])
                os.replace(temporary, path)
            paths.append(path)
        return paths


def unpack(packages, root, only=(), root_owned=True):
    """Unpacks packages into a directory; `only`: patterns of the members that are wanted."""
    extract = ["tar", "--keep-directory-symlink", "-xpf", "-", "-C", str(root), "--wildcards"]
    extract += [f"--exclude={pattern}" for pattern in EXCLUDED]
    sudo = "sudo -n " if root_owned and os.geteuid() else ""
    for package in packages:
        print(f"Unpacking {Path(package).name}", flush=True)
        shell(f'deb=$1; shift; dpkg-deb --fsys-tarfile "$deb" | {sudo}"$@"', package, *extract, *only)


def status_entry(package):
    """The entry of an installed package in dpkg's status file."""
    fields = subprocess.run(["dpkg-deb", "--field", str(package)], stdout=subprocess.PIPE, text=True, check=True).stdout
    first, _, rest = fields.partition("\n")
    return f"{first}\nStatus: install ok installed\n{rest.rstrip()}\n\n"


def manifest(status):
    """The package list that ISAR deploys, from a dpkg status file."""
    lines = []
    for entry in status.strip().split("\n\n"):
        field = dict(re.findall(r"^([A-Za-z-]+): (.*)$", entry, re.MULTILINE))
        source, _, version = field.get("Source", field["Package"]).partition(" ")
        version = version.strip("()") or field["Version"]
        lines.append(f"{source}|{version}|{field['Package']}:{field['Architecture']}|{field['Version']}\n")
    return "".join(sorted(lines))
