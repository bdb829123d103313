# A binary for one architecture, downloaded under a name that does not say which: with a DL_DIR
# shared between architectures the second one gets the first one's. Built when
# STANDIN_SHARED_DOWNLOAD names it.
DESCRIPTION = "Prebuilt binary with an ambiguous download name"
SRC_URI = "https://example.invalid/v1.0/k3s-${DISTRO_ARCH};downloadfilename=k3s"
DPKG_ARCH = "${DISTRO_ARCH}"
inherit dpkg-raw

do_install() {
    install -d ${D}/usr/bin
    install -m 0755 ${WORKDIR}/k3s ${D}/usr/bin/k3s
}
