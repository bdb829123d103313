# What makes the images of examples/n3x different from each other.
DESCRIPTION = "Name and network of an n3x node"
NODE_NAME ??= "n3x"
NETWORK_PROFILE ??= "none"
inherit dpkg-raw

do_install() {
    install -d ${D}/etc
    echo "${NODE_NAME}" > ${D}/etc/hostname
    echo "${NETWORK_PROFILE}" > ${D}/etc/network-profile
}
