"""The recipes: which tasks there are, what they need, and what those of packages do.

The list follows upstream's isar-image-base with one dpkg-raw package, task by task; tasks that
have nothing to do here still run, since what watches a build counts them.
"""

import hashlib
import json
import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import conf, debian, rootfs
from .runqueue import Task
from .sstate import Shared
from .tools import TaskError, run, shell

HOST_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
BOOTSTRAP_PACKAGES = ["base-files", "base-passwd", "busybox-static", "dash", "hostname", "libc6", "netbase"]


class NoProvider(Exception):
    """A name in IMAGE_INSTALL, or a target, for which no recipe exists."""


@dataclass
class Recipe:
    pn: str
    file: Path
    data: conf.Data
    multiconfig: str

    def __post_init__(self):
        if self.is_image:
            name = "${TMPDIR}/work/${DISTRO}-${DISTRO_ARCH}/${PN}-${MACHINE}/${PV}-${PR}"
            self.data.set("WORKDIR", name)
            self.data.set("IMAGE_ROOTFS", "${WORKDIR}/rootfs")
        get = self.data.get
        self.pf = get("PF")
        self.workdir = get("WORKDIR")
        self.tmpdir = get("TMPDIR")
        machine = f"-{get('MACHINE')}" if self.is_image else ""
        self.stamp = f"{get('STAMPS_DIR')}/{get('DISTRO')}-{get('DISTRO_ARCH')}/{self.pn}{machine}/{get('PV')}-{get('PR')}"
        self.identifier = f"mc:{self.multiconfig}:{self.file}" if self.multiconfig else str(self.file)

    @property
    def is_image(self):
        return "image" in self.data.inherits


def nothing_to_do(task):
    """Real tasks whose work the stand-in has no use for."""


class Graph:
    """Tasks by recipe and name, made when first asked for."""

    def __init__(self, recipes, multiconfig):
        self.files = recipes
        self.multiconfig = multiconfig
        self.made = {}  # pn: {task name: Task}

    def task(self, pn, name):
        if pn not in self.made:
            if pn not in self.files:
                raise NoProvider(pn)
            file, data = self.files[pn]
            recipe = Recipe(pn, file, data, self.multiconfig)
            if recipe.is_image:
                make = self._image
            else:
                make = {"isar-mmdebstrap-target": self._bootstrap, "isar-apt": self._apt, "base-apt": self._apt,
                        "sbuild-chroot-target": self._chroot}.get(pn, self._package)
            self.made[pn] = {}
            make(recipe)
        if name not in self.made[pn]:
            raise NoProvider(f"{pn}:{name}")
        return self.made[pn][name]

    def _add(self, recipe, name, *needs, action=nothing_to_do, inputs=None, shared=None):
        tasks = self.made[recipe.pn]
        needed = [tasks[n] if isinstance(n, str) else n for n in needs]
        tasks[name] = Task(recipe, name, action, needed, inputs, shared)

    def _shared(self, recipe, **kind):
        return Shared(recipe.data.get("SSTATE_DIR"), recipe.data.get("DISTRO_ARCH"), **kind)

    def _apt(self, recipe):
        self._add(recipe, "do_fetch")
        self._add(recipe, "do_unpack", "do_fetch")
        self._add(recipe, "do_cache" if recipe.pn == "base-apt" else "do_cache_config", "do_unpack")

    def _bootstrap(self, recipe):
        data = recipe.data
        inputs = [data.get(n) for n in ("DISTRO", "DISTRO_ARCH", "KERNEL_NAME")] + BOOTSTRAP_PACKAGES
        add = self._add
        add(recipe, "do_fetch")
        add(recipe, "do_unpack", "do_fetch")
        add(recipe, "do_generate_keyrings", "do_unpack")
        add(recipe, "do_generate_auth_file", "do_unpack")
        add(recipe, "do_apt_config_prepare", "do_unpack")
        add(recipe, "do_bootstrap", "do_generate_keyrings", "do_generate_auth_file", "do_apt_config_prepare",
            self.task("isar-apt", "do_cache_config"), self.task("base-apt", "do_cache"),
            action=bootstrap, inputs=inputs,
            shared=self._shared(recipe, files="deploy", deploy=data.get("DEPLOY_DIR_BOOTSTRAP")))
        add(recipe, "do_build", "do_bootstrap", "do_generate_keyrings", action=None)

    def _chroot(self, recipe):
        container = [HOST_ARCH, debian.container_codename(), shutil.which("sgdisk") is not None]
        add = self._add
        add(recipe, "do_fetch")
        add(recipe, "do_unpack", "do_fetch")
        add(recipe, "do_rootfs_install", "do_unpack", self.task("isar-mmdebstrap-target", "do_build"),
            action=chroot_install, inputs=container, shared=self._shared(recipe, tree="rootfs", over=False))
        add(recipe, "do_rootfs_postprocess", "do_unpack", "do_rootfs_install")
        add(recipe, "do_rootfs", "do_rootfs_postprocess")
        add(recipe, "do_sbuildchroot_deploy", "do_rootfs")
        add(recipe, "do_build", "do_sbuildchroot_deploy", action=None)

    def _package(self, recipe):
        data = recipe.data
        source = recipe.file.read_text() + "".join(data.functions.values())
        files = [str(f) for f, _ in local_files(recipe)]
        inputs = {
            "files": [hashlib.sha256(Path(f).read_bytes()).hexdigest() for f in files],
            "functions": data.functions,
            "variables": {n: data.get(n) for n in sorted(data.referenced(source) | set(data.words("TEMPLATE_VARS")))
                          if n not in ("WORKDIR", "S", "D", "T", "B", "FILE", "THISDIR", "TMPDIR", "TOPDIR", "DL_DIR")},
        }
        add = self._add
        add(recipe, "do_fetch", action=fetch, inputs=inputs)
        add(recipe, "do_unpack", "do_fetch", action=unpack)
        add(recipe, "do_adjust_git", "do_unpack")
        add(recipe, "do_transform_template", "do_unpack", action=transform)
        add(recipe, "do_patch", "do_adjust_git")
        add(recipe, "do_get_reference_env", "do_unpack")
        add(recipe, "do_install", "do_patch", "do_transform_template", action=install)
        add(recipe, "do_local_isarapt", "do_patch", self.task("isar-apt", "do_cache_config"))
        add(recipe, "do_prepare_build", "do_install", action=prepare)
        add(recipe, "do_dpkg_source", "do_prepare_build")
        add(recipe, "do_deploy_source", "do_dpkg_source")
        add(recipe, "do_dpkg_build", "do_deploy_source", "do_local_isarapt", "do_get_reference_env",
            self.task("sbuild-chroot-target", "do_build"), action=dpkg_build,
            shared=self._shared(recipe, files="deploy", deploy=deb_directory(data)))
        add(recipe, "do_deploy_deb", "do_dpkg_build")
        add(recipe, "do_build", "do_deploy_deb", action=None)

    def _image(self, recipe):
        data = recipe.data
        names = data.words("IMAGE_INSTALL")
        if "k3s" in data.words("STANDIN_SHARED_DOWNLOAD"):
            names.append("k3s")
            data.set("IMAGE_INSTALL", " ".join(names))
        debs = [self.task(name, "do_deploy_deb") for name in names]

        def values(*variables):
            return {n: data.get(n) for n in variables}

        deploy = data.get("DEPLOY_DIR_IMAGE")
        apt = self.task("isar-apt", "do_cache_config")
        add = self._add
        add(recipe, "do_fetch")
        add(recipe, "do_unpack", "do_fetch")
        add(recipe, "do_rootfs_install", "do_unpack", self.task("isar-mmdebstrap-target", "do_build"), *debs,
            action=rootfs.install, inputs=values("DISTRO", "MACHINE", "IMAGE_INSTALL", "IMAGE_PREINSTALL"),
            shared=self._shared(recipe, tree="rootfs"))
        add(recipe, "do_copy_boot_files", "do_rootfs_install", action=rootfs.copy_boot_files,
            shared=self._shared(recipe, files="deploy-boot", deploy=deploy))
        add(recipe, "do_rootfs_postprocess", "do_unpack", "do_rootfs_install", "do_copy_boot_files", self.task("base-apt", "do_cache"), apt,
            action=rootfs.postprocess,
            inputs=values("DESCRIPTION", "STANDIN_FOREIGN_ELF", "STANDIN_WARNINGS"))
        add(recipe, "do_generate_initramfs", "do_rootfs_postprocess", action=rootfs.generate_initramfs,
            inputs=values("STANDIN_FOREIGN_INITRD"),
            shared=self._shared(recipe, files="deploy-initrd", deploy=deploy))
        add(recipe, "do_rootfs_finalize", "do_rootfs_postprocess", "do_generate_initramfs", action=rootfs.finalize)
        add(recipe, "do_rootfs_quality_check", "do_rootfs_finalize")
        add(recipe, "do_rootfs", "do_rootfs_quality_check")
        add(recipe, "do_rootfs_wicenv", "do_rootfs")
        add(recipe, "do_image_tools", "do_rootfs", self.task("sbuild-chroot-target", "do_build"), apt, *debs)
        types = data.words("IMAGE_FSTYPES")
        if any(name.split(".")[0] == "wic" for name in types):
            add(recipe, "do_image_wic", "do_image_tools", "do_rootfs_wicenv", action=rootfs.image_wic,
                inputs=values("ROOTFS_EXTRA", "IMAGE_FSTYPES", "STANDIN_EQUAL_IMAGE", "STANDIN_KEEP_IMAGE",
                              "STANDIN_WRITE_SECONDS", "STANDIN_ROOT_SECONDS"))
        if "tar.gz" in types:
            add(recipe, "do_image_tar", "do_image_tools", action=rootfs.image_tar)
        made = [name for name in ("do_image_wic", "do_image_tar") if name in self.made[recipe.pn]]
        add(recipe, "do_image", *made)
        add(recipe, "do_deploy", "do_image")
        add(recipe, "do_build", "do_rootfs", "do_image_tools", "do_image", "do_deploy", action=None)


# What the tasks of bootstrap, chroot and packages do


def deb_directory(data):
    return f"{data.get('DEPLOY_DIR')}/isar-apt/{data.get('DISTRO')}-{data.get('DISTRO_ARCH')}/apt/pool"


def bootstrap(task):
    """Makes the file system that images start from, and notes where the packages were found."""
    data = task.recipe.data
    work = Path(task.recipe.workdir)
    apt = debian.Apt(work / "apt", data, data.get("DISTRO_ARCH"))
    apt.update()
    meta = f"linux-image-{data.get('KERNEL_NAME')}"
    kernel = next(name for name in apt.depends(meta) if name.startswith("linux-image-"))
    resolved = apt.resolve([*BOOTSTRAP_PACKAGES, kernel, "systemd-boot-efi"])
    root = work / "rootfs"
    shell("""
        rm -rf "$1"; mkdir -p "$1"; cd "$1"
        for name in bin sbin lib; do mkdir -p usr/$name; ln -s usr/$name $name; done
        if [ "$2" = amd64 ]; then mkdir usr/lib64; ln -s usr/lib64 lib64; fi
        mkdir -p var/lib/dpkg/info
        """, root, data.get("DISTRO_ARCH"), root=True)
    debs = apt.fetch({name: resolved[name] for name in BOOTSTRAP_PACKAGES})
    debian.unpack(debs, root)
    shell('ln -sf dash "$1/bin/sh"; cat > "$1/var/lib/dpkg/status" <<<"$2"', root,
          "".join(map(debian.status_entry, debs)).rstrip() + "\n", root=True)
    deploy = work / "deploy"
    shutil.rmtree(deploy, ignore_errors=True)
    deploy.mkdir()
    name = f"{data.get('DISTRO')}-{data.get('DISTRO_ARCH')}"
    sudo = "sudo -n " if os.geteuid() else ""
    pack = f'{sudo}tar --owner=0 --group=0 -cpf - -C "$1" . | zstd -q -T0 -3 > "$2"'
    shell(pack, root, deploy / f"{name}.tar.zst")
    # Unpacked here, once for all variants: the kernel is by far the largest package.
    version = kernel.replace("linux-image-", "")
    tree = f"*/lib/modules/{version}"  # below /usr or not, depending on the distribution
    scratch = work / "kernel"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    debian.unpack(apt.fetch({kernel: resolved[kernel]}), scratch, root_owned=False,
                  only=["./boot", f"{tree}/kernel/drivers/block", f"{tree}/kernel/fs/fuse", f"{tree}/modules.builtin"])
    (scratch / "vmlinuz").symlink_to(f"boot/vmlinuz-{version}")
    shell(pack, scratch, deploy / f"{name}.kernel.tar.zst")
    shell('tar -cf - -C "$1" --exclude=cache apt | zstd -q -T0 -3 > "$2"', work, deploy / f"{name}.apt.tar.zst")
    (deploy / f"{name}.json").write_text(json.dumps({"kernel": kernel, "packages": resolved}, indent=1))


def chroot_install(task):
    """sgdisk for the build machine, where the container has none: upstream's comes from this chroot too."""
    data = task.recipe.data
    root = Path(task.recipe.workdir) / "rootfs"
    run(["rm", "-rf", root], root=True)
    run(["mkdir", "-p", root], root=True)
    if not shutil.which("sgdisk"):
        apt = debian.Apt(Path(task.recipe.workdir) / "apt", data, HOST_ARCH, debian.container_codename())
        apt.update()
        debian.unpack(apt.fetch(apt.resolve(["gdisk", "libpopt0"])), root)


def local_files(recipe):
    """Files of SRC_URI that lie beside the recipe, with the names they get in the work directory."""
    found = []
    for word in recipe.data.words("SRC_URI"):
        if word.startswith("file://"):
            name = word[len("file://"):].split(";")[0]
            for directory in (recipe.pn, f"{recipe.pn}-{recipe.data.get('PV')}", "files", "."):
                path = recipe.file.parent / directory / name
                if path.is_file():
                    found.append((path, name))
                    break
            else:
                raise TaskError(f"Unable to get checksum for {recipe.pn} SRC_URI entry {name}: file could not be found")
    return found


def downloads(data):
    """(URI, file name in DL_DIR) of SRC_URI's other entries."""
    for word in data.words("SRC_URI"):
        if re.match(r"(https?|ftp)://", word):
            uri, *parameters = word.split(";")
            options = dict(p.split("=", 1) for p in parameters)
            yield uri, options.get("downloadfilename", uri.rsplit("/", 1)[1])


def fetch(task):
    """As the real fetcher: what lies under that name with a .done stamp is taken for the download.

    Nothing is fetched from outside: the "server" has busybox of the architecture in the URI.
    """
    data = task.recipe.data
    directory = Path(data.get("DL_DIR"))
    for uri, name in downloads(data):
        if (directory / name).exists() and (directory / f"{name}.done").exists():
            print(f"{name} is already in DL_DIR")
            continue
        arch = data.get("DISTRO_ARCH")
        cache = directory / "deb" / data.get("DISTRO")
        debs = sorted(cache.glob(f"busybox-static_*_{arch}.deb"))
        if not debs:
            apt = debian.Apt(Path(task.recipe.workdir) / "apt", data, arch)
            apt.update()
            debs = apt.fetch(apt.resolve(["busybox-static"]))
        scratch = Path(task.recipe.workdir) / "download"
        scratch.mkdir(parents=True, exist_ok=True)
        debian.unpack(debs[-1:], scratch, only=["./bin/busybox"], root_owned=False)
        print(f"downloaded {uri} as {name}")
        os.replace(shutil.copy(scratch / "bin/busybox", directory / f"{name}.tmp"), directory / name)
        (directory / f"{name}.done").touch()


def unpack(task):
    work = Path(task.recipe.workdir)
    for path, name in local_files(task.recipe):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, work / name)
    for _, name in downloads(task.recipe.data):
        shutil.copy(Path(task.recipe.data.get("DL_DIR")) / name, work / name)


def transform(task):
    data = task.recipe.data
    for name in data.words("TEMPLATE_FILES"):
        path = Path(task.recipe.workdir) / name
        text = path.read_text()
        for variable in data.words("TEMPLATE_VARS"):
            text = text.replace("${%s}" % variable, data.get(variable, ""))
        target = path.with_suffix("") if path.suffix == ".tmpl" else path.with_name(path.name + ".out")
        target.write_text(text)
        shutil.copymode(path, target)


HELPERS = """
bbnote() { echo "NOTE: $*"; }
bbwarn() { echo "WARNING: $*"; }
bbfatal() { echo "ERROR: $*"; exit 1; }
die() { bbfatal "$*"; }
"""


def install(task):
    data = task.recipe.data
    target = Path(data.get("D"))
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    body = data.expand(data.functions.get("do_install", ":"))
    shell(f"{HELPERS}\ndo_install() {{\n{body}\n}}\ncd \"$1\"\ndo_install", data.get("S"))


def prepare(task):
    data = task.recipe.data
    control = Path(data.get("D")) / "DEBIAN"
    control.mkdir(exist_ok=True)
    fields = {
        "Package": task.recipe.pn,
        "Version": data.get("PV"),
        "Architecture": data.get("DPKG_ARCH").replace("any", data.get("DISTRO_ARCH")),
        "Maintainer": data.get("MAINTAINER"),
        "Depends": data.get("DEBIAN_DEPENDS", "").strip(" ,"),
        "Description": data.get("DESCRIPTION"),
    }
    (control / "control").write_text("".join(f"{k}: {v}\n" for k, v in fields.items() if v))
    for script in ("preinst", "postinst", "prerm", "postrm"):
        source = Path(task.recipe.workdir) / script
        if source.exists():
            shutil.copy(source, control / script)
            (control / script).chmod(0o755)


def dpkg_build(task):
    data = task.recipe.data
    deploy = Path(task.recipe.workdir) / "deploy"
    shutil.rmtree(deploy, ignore_errors=True)
    deploy.mkdir()
    os.environ["SOURCE_DATE_EPOCH"] = data.get("SOURCE_DATE_EPOCH")
    run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "--build", data.get("D"), deploy])
