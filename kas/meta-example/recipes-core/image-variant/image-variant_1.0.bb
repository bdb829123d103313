# The identity of a variant in its image: host name, a marker, network.

DESCRIPTION = "Name and network of this image variant"
MAINTAINER = "isar-build-all <isar-build-all@example.org>"

IMAGE_HOSTNAME ??= "isar"
IMAGE_MARKER ??= ""
# "dhcp", "static" with NETWORK_ADDRESS, or empty for no network at all.
# systemd-networkd, which reads the result, is enabled by Debian's presets.
NETWORK_PROFILE ??= ""
NETWORK_ADDRESS ??= ""

inherit dpkg-raw

do_install() {
    install -d ${D}/etc
    echo "${IMAGE_HOSTNAME}" > ${D}/etc/hostname
    echo "${IMAGE_MARKER}" > ${D}/etc/image-variant

    case "${NETWORK_PROFILE}" in
    "")
        setting=""
        ;;
    dhcp)
        setting="DHCP=yes"
        ;;
    static)
        setting="Address=${NETWORK_ADDRESS}"
        ;;
    *)
        bbfatal "NETWORK_PROFILE is \"${NETWORK_PROFILE}\": neither dhcp nor static"
        ;;
    esac
    if [ -n "$setting" ]; then
        install -d ${D}/etc/systemd/network
        printf '[Match]\nType=ether\n\n[Network]\n%s\n' "$setting" \
            > ${D}/etc/systemd/network/20-wired.network
    fi
}
