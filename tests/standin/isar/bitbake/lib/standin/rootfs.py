"""The image recipe's tasks: root file system, kernel, initial RAM disk, and the call of the imager."""

import json
import os
import shutil
import sys
from pathlib import Path

from . import cpio, debian, faults
from .tools import ROOT, TaskError, run, shell, write_root

STUBS = "usr/local/isar-sbin"  # where ISAR hides initramfs tools while packages are installed
STUBS_CONF = "etc/apt/apt.conf.d/50isar-stubs"


def _paths(task):
    data = task.recipe.data
    deploy = Path(data.get("DEPLOY_DIR_IMAGE"))
    return Path(task.recipe.workdir), Path(data.get("IMAGE_ROOTFS")), deploy / data.get("IMAGE_FULLNAME")


def _bootstrap(data):
    """Prefix of the files that the bootstrap recipe deployed, and what its notes say."""
    prefix = f"{data.get('DEPLOY_DIR_BOOTSTRAP')}/{data.get('DISTRO')}-{data.get('DISTRO_ARCH')}"
    return prefix, json.loads(Path(f"{prefix}.json").read_text())


def install(task):
    """Starts from an empty directory, which restoring this task from shared state does not."""
    data = task.recipe.data
    work, root, _ = _paths(task)
    prefix, notes = _bootstrap(data)
    run(["rm", "-rf", root], root=True)
    run(["mkdir", "-p", root], root=True)
    unpack = f'zstd -qdc "$1" | {"sudo -n " if os.geteuid() else ""}tar --keep-directory-symlink -xpf - -C "$2"'
    shell(unpack, f"{prefix}.tar.zst", root)
    write_root(root / STUBS_CONF, f"DPkg::Path /{STUBS}:/usr/sbin:/usr/bin:/sbin:/bin;\n")
    run(["mkdir", "-p", root / STUBS], root=True)
    run(["ln", "-sf", "/usr/bin/true", root / STUBS / "update-initramfs"], root=True)
    if task.fails:  # with the stubs left behind, as upstream leaves them
        print("E: Sub-process /usr/bin/dpkg returned an error code (1)")
        raise TaskError("standin: do_rootfs_install was told to fail")

    apt = debian.Apt(work / "apt", data, data.get("DISTRO_ARCH"))
    kernel = apt.fetch({notes["kernel"]: notes["packages"][notes["kernel"]]})
    shell(unpack, f"{prefix}.kernel.tar.zst", root)
    names = ["systemd-boot-efi", *data.words("IMAGE_PREINSTALL")]
    more = {name: notes["packages"][name] for name in names if name in notes["packages"]}
    unknown = [name for name in names if name not in more]
    if unknown:
        shell('rm -rf "$2/apt"; zstd -qdc "$1" | tar -xf - -C "$2"', f"{prefix}.apt.tar.zst", work)
        (apt.directory / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        more.update(apt.resolve(unknown))
    own = [deb for pn in data.words("IMAGE_INSTALL") for deb in sorted(_pool(data).glob(f"{pn}_*.deb"))]
    debs = [*apt.fetch(more), *own]
    debian.unpack(debs, root)
    status = (root / "var/lib/dpkg/status").read_text() + "".join(map(debian.status_entry, kernel + debs))
    write_root(root / "var/lib/dpkg/status", status)
    for deb in own:
        shell('dpkg-deb --ctrl-tarfile "$1" | tar -xO ./postinst > "$2" 2>/dev/null || rm -f "$2"', deb, work / "postinst")
        if (work / "postinst").exists():
            run(["install", "-m", "0755", work / "postinst", root / "postinst"], root=True)
            run(["chroot", root, "/bin/sh", "/postinst", "configure"], root=True)
            run(["rm", root / "postinst"], root=True)
    run(["rm", "-rf", root / STUBS, root / STUBS_CONF], root=True)


def _pool(data):
    from .recipes import deb_directory
    return Path(deb_directory(data))


def copy_boot_files(task):
    work, root, fullname = _paths(task)
    deploy = work / "deploy-boot"
    shutil.rmtree(deploy, ignore_errors=True)
    deploy.mkdir()
    kernel = next(iter(sorted((root / "boot").glob("vmlinu[xz]-*"))))
    shutil.copyfile(kernel, deploy / f"{fullname.name}-{task.recipe.data.get('KERNEL_FILE')}")


def postprocess(task):
    data = task.recipe.data
    _, root, fullname = _paths(task)
    if len(data.words("BBLAYERS")) != 2:
        task.say("warn", "You are using external layers that will not be considered in the build_id. "
                         "Consider changing ISAR_RELEASE_CMD.")
    for number in range(int(data.get("STANDIN_WARNINGS", "0"))):
        task.say("warn", f"standin: message {number + 1}\nthat goes on in a second line\n::error::and looks like a command")
    release = (root / "usr/lib/os-release").read_text().split("BUILD_ID=")[0]
    write_root(root / "usr/lib/os-release", f'{release}BUILD_ID=""\nVARIANT="{data.get("DESCRIPTION")}"\n')
    run(["rm", "-f", root / "etc/os-release"], root=True)
    run(["ln", "-s", "../usr/lib/os-release", root / "etc/os-release"], root=True)
    write_root(root / "etc/machine-id", "uninitialized\n", "0444")
    for path in data.words("STANDIN_FOREIGN_ELF"):
        write_root(f"{root}/{path.lstrip('/')}", faults.foreign_elf(data.get("DISTRO_ARCH")), "0755")
    status = (root / "var/lib/dpkg/status").read_text()
    fullname.parent.mkdir(parents=True, exist_ok=True)
    # Rewritten in place: a hard link to these changes too.
    Path(f"{fullname}.manifest").write_text(debian.manifest(status))
    Path(f"{fullname}.dpkg_status").write_text(status)


def generate_initramfs(task):
    """busybox and an init script; compressed like Debian's own."""
    data = task.recipe.data
    work, root, fullname = _paths(task)
    deploy = work / "deploy-initrd"
    shutil.rmtree(deploy, ignore_errors=True)
    deploy.mkdir()
    init = "#!/bin/sh\nmount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\nexec sh\n"
    busybox = next(p for p in (root / "usr/bin/busybox", root / "bin/busybox") if p.exists()).read_bytes()
    if data.get("STANDIN_FOREIGN_INITRD"):
        busybox = faults.foreign_elf(data.get("DISTRO_ARCH"))
    archive = cpio.Archive()
    for directory in ("bin", "dev", "proc", "sys", "etc", "usr", "usr/bin"):
        archive.directory(directory)
    archive.file("init", init.encode(), 0o755)
    archive.file("bin/busybox", busybox, 0o755)
    for applet in ("sh", "mount", "switch_root", "sleep"):
        archive.symlink(f"bin/{applet}", "busybox")
    (work / "initrd.cpio").write_bytes(archive.finish())
    target = deploy / f"{fullname.name}-initrd.img"
    run(["zstd", "-q", "-f", "-19" if len(busybox) < 1 << 16 else "-6", work / "initrd.cpio", "-o", target])
    target.chmod(0o755)


def finalize(task):
    data = task.recipe.data
    _, root, _ = _paths(task)
    shell('find "$1" -newermt "@$2" -exec touch -h -d "@$2" {} +', root, data.get("SOURCE_DATE_EPOCH"), root=True)


def image_wic(task):
    """Calls the imager as root, then takes over what it left in the deploy directory."""
    data = task.recipe.data
    work, root, fullname = _paths(task)
    if data.get("STANDIN_KEEP_IMAGE") and os.path.exists(f"{fullname}.wic"):
        print("standin: the image that is there stays")
        return
    run(["rm", "-rf", work / "wic"], root=True)
    chroot = f"{data.get('TMPDIR')}/work/{data.get('DISTRO')}-{data.get('DISTRO_ARCH')}/sbuild-chroot-target/1.0-r0/rootfs"
    specification = {
        "arch": data.get("DISTRO_ARCH"),
        "rootfs": str(root),
        "kernel": f"{fullname}-{data.get('KERNEL_FILE')}",
        "initrd": f"{fullname}-initrd.img",
        "loader": str(next(root.glob("usr/lib/systemd/boot/efi/systemd-boot*.efi"))),
        "tools": chroot,
        "scratch": str(work / "wic"),
        "target": f"{fullname}.wic",
        "extra_mib": int(data.get("ROOTFS_EXTRA")),
        "epoch": int(data.get("SOURCE_DATE_EPOCH")),
        "write_seconds": float(data.get("STANDIN_WRITE_SECONDS", "0.3")),
        "root_seconds": float(data.get("STANDIN_ROOT_SECONDS", "0.3")),
    }
    file = work / "wic.json"
    file.write_text(json.dumps(specification, indent=1))
    sys.stdout.flush()
    command = ROOT + [sys.executable, "-B", str(Path(__file__).with_name("imager.py")), str(file)]
    run(command)
    run(["chown", f"{os.getuid()}:{os.getgid()}", f"{fullname}.wic", f"{fullname}.wic.bmap"], root=True)
    if data.get("STANDIN_EQUAL_IMAGE"):
        _equal_image(fullname, Path(data.get("SSTATE_DIR")) / f"standin-equal-{data.get('MACHINE')}")
    if "wic.zst" in data.words("IMAGE_FSTYPES"):
        run(["zstd", "-q", "-f", "-T0", "-3", f"{fullname}.wic", "-o", f"{fullname}.wic.zst"])
    lines = Path(f"{fullname}.manifest").read_text().splitlines()
    Path(f"{fullname}.wic.manifest").write_text("".join(f"{line}\n" for line in sorted(set(lines))))


def image_tar(task):
    """Written in place: whoever holds the old one sees it change."""
    _, root, fullname = _paths(task)
    sudo = "sudo -n " if os.geteuid() else ""
    shell(f'{sudo}tar --sort=name --numeric-owner -cpf - -C "$1" . | gzip -1 > "$2"', root, f"{fullname}.tar.gz")


def _equal_image(fullname, kept):
    """The first variant's image is kept; every later one gets that instead of its own."""
    for suffix in (".wic", ".wic.bmap"):
        own, first = f"{fullname}{suffix}", f"{kept}{suffix}"
        source, target = (first, own) if os.path.exists(first) else (own, first)
        run(["cp", "--sparse=always", source, target])
