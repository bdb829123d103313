# shellcheck shell=bash
# Shared by the scripts beside it: where things are, who runs, how to say so.

KAS_VERSION=5.5
PREFIX=/opt/isar-build-all
KAS_IMAGE=localhost/isar-build-all/kas-isar:$KAS_VERSION
BUILD_USER=isar
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The other scripts use it.
# shellcheck disable=SC2034
ROOT=$(dirname "$SCRIPTS")

say() { printf '%s\n' "-- $*"; }
there() { printf '%s\n' "   there: $*"; }
note() { printf '%s\n' "   note: $*"; }
die() {
	printf 'error: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# Run a command as root: directly, or by sudo.
as_root() {
	if is_root; then "$@"; else sudo "$@"; fi
}

# The user whose builds run: the caller, or the build user where root calls.
build_user() {
	if is_root; then echo "$BUILD_USER"; else id -un; fi
}

# Run a command as the build user, in its home's environment.
as_build_user() {
	if is_root; then
		runuser -u "$BUILD_USER" -- env HOME="$(home_of "$BUILD_USER")" USER="$BUILD_USER" \
			LOGNAME="$BUILD_USER" SHELL=/bin/bash PATH="$PATH" "$@"
	else
		"$@"
	fi
}

home_of() { getent passwd "$1" | cut -d: -f6; }

# What a build with kas-container needs in its environment.
build_env() {
	export PATH="$PREFIX/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH}"
	export KAS_CONTAINER_IMAGE="${KAS_CONTAINER_IMAGE:-$KAS_IMAGE}"
	export KAS_CONTAINER_ENGINE="${KAS_CONTAINER_ENGINE:-podman}"
}

# Brings the build user's copy of this checkout up to date and prints where it is.
# root's own checkout is of no use to that user: it may lie in root's home.
sync_checkout() {
	local copy
	copy=$(home_of "$BUILD_USER")/isar-build-all
	install -d -o "$BUILD_USER" -g "$BUILD_USER" "$copy"
	rsync -a --delete --chown="$BUILD_USER:$BUILD_USER" \
		--exclude=/target --exclude=/.isar-build-all --exclude=/artifacts --exclude=/artifact-hashes.nix \
		--exclude=/.git/index.lock "$ROOT/" "$copy/"
	# kas-container mounts the repository that holds the kas files.
	if [ ! -d "$copy/.git" ]; then
		rm -f "$copy/.git"
		as_build_user git -C "$copy" init --quiet
	fi
	echo "$copy"
}
