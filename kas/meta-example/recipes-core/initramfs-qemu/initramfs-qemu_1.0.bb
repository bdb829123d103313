# An initramfs with only the drivers of QEMU's machines. Debian's default copies
# every driver that a disk might need, which takes minutes if the target's
# programs are emulated.

DESCRIPTION = "Initramfs modules of QEMU's machines"
MAINTAINER = "isar-build-all <isar-build-all@example.org>"
DEBIAN_DEPENDS = "initramfs-tools-core"

INITRAMFS_MODULES = "ahci sd_mod virtio_pci virtio_mmio virtio_blk virtio_scsi ext4"

inherit dpkg-raw

do_install() {
    install -d ${D}/etc/initramfs-tools/conf.d ${D}/usr/share/initramfs-tools/modules.d
    echo "MODULES=list" > ${D}/etc/initramfs-tools/conf.d/initramfs-qemu
    printf '%s\n' ${INITRAMFS_MODULES} > ${D}/usr/share/initramfs-tools/modules.d/initramfs-qemu.conf
}
