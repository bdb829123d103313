"""Runs as root: partitions, disk image and block map, put at their final names as wic's caller does.

Started by do_image_wic with a JSON file. The image grows at its final name, in a new inode that
only root can read, and stays root's until the task takes it over.
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
import uuid
from pathlib import Path

MIB = 1 << 20
SECTOR = 512
LOADER_NAME = {"amd64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI"}


class Imager:
    def __init__(self, specification):
        self.__dict__.update(specification)
        self.work = Path(self.scratch)
        self.work.mkdir(parents=True)
        libraries = sorted(str(p) for p in Path(self.tools).glob("usr/lib/*-linux-gnu"))
        libraries += sorted(str(p) for p in Path(self.tools).glob("lib/*-linux-gnu"))
        self.environment = dict(os.environ, MTOOLS_SKIP_CHECK="1")
        self.environment["PATH"] += f":/usr/sbin:/sbin:{self.tools}/sbin:{self.tools}/usr/sbin"
        self.libraries = {"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {}

    def run(self, *command):
        print("+ " + shlex.join(map(str, command)), flush=True)
        environment = {**self.environment, **(self.libraries if command[0] == "sgdisk" else {})}
        subprocess.run([str(word) for word in command], check=True, env=environment)

    def esp(self):
        """The EFI system partition: loader, kernel, initial RAM disk."""
        image = self.work / "esp.img"
        entry = self.work / "entry.conf"
        entry.write_text("title Stand-in\nlinux /linux\ninitrd /initrd.img\noptions root=LABEL=platform\n")
        size = sum(os.path.getsize(f) for f in (self.loader, self.kernel, self.initrd))
        with open(image, "wb") as file:
            file.truncate((size // MIB + 4) * MIB)
        self.run("mkfs.vfat", "-n", "EFI", "-i", uuid.uuid4().hex[:8], image)
        self.run("mmd", "-i", image, "::EFI", "::EFI/BOOT", "::loader", "::loader/entries")
        for source, target in ((self.loader, f"::EFI/BOOT/{LOADER_NAME[self.arch]}"), (self.kernel, "::linux"),
                               (self.initrd, "::initrd.img"), (entry, "::loader/entries/isar.conf")):
            self.run("mcopy", "-m", "-i", image, source, target)
        return image

    def root(self):
        """The root file system without /boot, which is the other partition."""
        copy = self.work / "rootfs"
        self.run("cp", "-al", self.rootfs, copy)
        self.run("sh", "-c", f"rm -rf {shlex.quote(str(copy))}/boot/*")
        os.utime(copy / "boot", (self.epoch, self.epoch))
        os.utime(copy, (self.epoch, self.epoch))
        listing = subprocess.run(["du", "-sm", str(copy)], stdout=subprocess.PIPE, text=True, check=True).stdout
        image = self.work / "root.img"
        with open(image, "wb") as file:
            file.truncate((int(listing.split()[0]) * 5 // 4 + self.extra_mib) * MIB)
        self.run("mkfs.ext4", "-q", "-F", "-T", "default", "-L", "platform", "-U", uuid.uuid4(), "-d", copy, image)
        return image

    def disk(self, partitions):
        """A GPT disk; partitions: (label, type code, file)."""
        disk = self.work / "disk.direct"
        start, places = MIB // SECTOR, []
        for _, _, file in partitions:
            places.append(start)
            start += os.path.getsize(file) // SECTOR
            start += -start % (MIB // SECTOR)
        with open(disk, "wb") as file:
            file.truncate(start * SECTOR + 17 * 1024)
        self.run("parted", "-s", disk, "mklabel", "gpt")
        for place, (label, _, file) in zip(places, partitions):
            end = place + os.path.getsize(file) // SECTOR - 1
            self.run("parted", "-s", disk, "unit", "s", "mkpart", "primary", "fat32" if label == "efi" else "ext2", place, end)
        for number, (label, code, _) in enumerate(partitions, 1):
            # wic gives each option a call of its own; sgdisk sleeps a second in each, and syncs all the same.
            self.run("sgdisk", f"--change-name={number}:{label}", f"--typecode={number}:{code}",
                     f"--partition-guid={number}:{uuid.uuid4()}", disk)
        with open(disk, "r+b") as target:
            for place, (_, _, file) in zip(places, partitions):
                with open(file, "rb") as source:
                    copy_data(source, target, place * SECTOR)
        return disk

    def deploy(self, source, target, seconds):
        """Like `mv` from another file system: unlink, create 0600, copy, then the mode."""
        Path(target).unlink(missing_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(source, "rb") as reader, os.fdopen(descriptor, "wb") as writer:
            copy_data(reader, writer, 0, seconds)
            writer.truncate(os.path.getsize(source))
            os.fchmod(writer.fileno(), 0o644)

    def main(self):
        disk = self.disk([("efi", "EF00", self.esp()), ("platform", "8300", self.root())])
        bmap = self.work / "disk.direct.bmap"
        bmap.write_text(block_map(disk))
        self.deploy(disk, self.target, self.write_seconds)
        self.deploy(bmap, f"{self.target}.bmap", 0)
        subprocess.run(["rm", "-rf", self.scratch], check=True)
        time.sleep(self.root_seconds)


def extents(file):
    """(offset, length) of the parts of a file that are not holes."""
    size = os.fstat(file.fileno()).st_size
    offset = 0
    while offset < size:
        try:
            start = os.lseek(file.fileno(), offset, os.SEEK_DATA)
        except OSError:
            return
        offset = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        yield start, offset - start


def copy_data(source, target, place, seconds=0):
    """Copies the data and leaves the holes, spread over at least so many seconds."""
    chunks = [(start + step, min(MIB, length - step)) for start, length in extents(source) for step in range(0, length, MIB)]
    for start, length in chunks:
        source.seek(start)
        target.seek(place + start)
        target.write(source.read(length))
        if seconds:
            target.flush()
            time.sleep(seconds / len(chunks))
    target.flush()


def block_map(path, block=4096):
    """The bmap of an image, version 2.0 (format: bmap-tools' documentation)."""
    ranges = []
    size = os.path.getsize(path)
    with open(path, "rb") as image:
        for start, length in extents(image):
            first, last = start // block, (start + length - 1) // block
            if ranges and first <= ranges[-1][1] + 1:
                ranges[-1][1] = last
            else:
                ranges.append([first, last])
        lines = []
        for first, last in ranges:
            image.seek(first * block)
            digest, left = hashlib.sha256(), (last - first + 1) * block
            while left and (data := image.read(min(MIB, left))):
                digest.update(data)
                left -= len(data)
            span = str(first) if first == last else f"{first}-{last}"
            lines.append(f'        <Range chksum="{digest.hexdigest()}"> {span} </Range>\n')
    zeros = "0" * 64
    mapped = sum(last - first + 1 for first, last in ranges)
    text = (
        f'<?xml version="1.0" ?>\n<bmap version="2.0">\n    <ImageSize> {size} </ImageSize>\n'
        f"    <BlockSize> {block} </BlockSize>\n    <BlocksCount> {-(-size // block)} </BlocksCount>\n"
        f"    <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n"
        f"    <BmapFileChecksum> {zeros} </BmapFileChecksum>\n    <BlockMap>\n{''.join(lines)}    </BlockMap>\n</bmap>\n"
    )
    return text.replace(zeros, hashlib.sha256(text.encode()).hexdigest(), 1)


if __name__ == "__main__":
    Imager(json.loads(Path(sys.argv[1]).read_text())).main()
