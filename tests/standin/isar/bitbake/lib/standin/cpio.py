"""Writes a cpio archive of the "newc" format, as the Linux kernel reads its initial RAM disk.

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
"""

import stat


class Archive:
    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def _entry(self, name, mode, content=b""):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._pad()
        self.data += content
        self._pad()

    def _pad(self):
        self.data += bytes(-len(self.data) % 4)

    def directory(self, name):
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, content, mode):
        self._entry(name, stat.S_IFREG | mode, content)

    def symlink(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def finish(self):
        self._entry("TRAILER!!!", 0)
        return bytes(self.data)
