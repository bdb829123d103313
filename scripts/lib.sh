# shellcheck shell=bash
# Shared by the other scripts: paths, the build user, messages.

KAS_VERSION=5.5
PREFIX=/opt/isar-build-all
KAS_IMAGE=localhost/isar-build-all/kas-isar:$KAS_VERSION
BUILD_USER=isar
SYSTEM_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The other scripts use it.
# shellcheck disable=SC2034
ROOT=$(dirname "$SCRIPTS")

say() { printf '%s\n' "-- $*"; }
installed() { printf '%s\n' "   already installed: $*"; }
note() { printf '%s\n' "   note: $*"; }
die() {
	printf 'error: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# Runs a command as root: directly, or through sudo.
as_root() {
	if is_root; then "$@"; else sudo "$@"; fi
}

# The user that builds: the caller, or the build user when root calls.
build_user() {
	if is_root; then echo "$BUILD_USER"; else id -un; fi
}

# Runs a command as the build user, without root's own directories in the environment.
as_build_user() {
	if is_root; then
		runuser -u "$BUILD_USER" -- env -u TMPDIR -u XDG_RUNTIME_DIR -u XDG_CONFIG_HOME -u XDG_CACHE_HOME \
			-u XDG_DATA_HOME -u XDG_STATE_HOME -u CARGO_HOME -u CARGO_TARGET_DIR -u RUSTUP_HOME \
			HOME="$(home_of "$BUILD_USER")" USER="$BUILD_USER" LOGNAME="$BUILD_USER" SHELL=/bin/bash \
			PATH="$PREFIX/bin:$SYSTEM_PATH" "$@"
	else
		"$@"
	fi
}

home_of() { getent passwd "$1" | cut -d: -f6; }

# Sets the environment that a build with kas-container needs. Values that are already set stay.
build_env() {
	export PATH="$PREFIX/bin:$PATH:$SYSTEM_PATH"
	export KAS_CONTAINER_IMAGE="${KAS_CONTAINER_IMAGE:-$KAS_IMAGE}"
	export KAS_CONTAINER_ENGINE="${KAS_CONTAINER_ENGINE:-podman}"
}

# Cargo's target directory, and cargo itself if rustup installed it for this user.
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
PATH=$PATH:$HOME/.cargo/bin

# Updates the build user's copy of this checkout and prints its path.
# That user may not be able to read root's own checkout, for example in root's home.
sync_checkout() {
	local copy
	copy=$(home_of "$BUILD_USER")/isar-build-all
	install -d -o "$BUILD_USER" -g "$BUILD_USER" "$copy"
	rsync -a --delete --chown="$BUILD_USER:$BUILD_USER" \
		--exclude=/target --exclude=/.isar-build-all --exclude=/artifacts --exclude=/artifact-hashes.nix \
		--exclude=/.git/index.lock "$ROOT/" "$copy/"
	# kas-container mounts the repository that contains the kas files.
	if [ ! -d "$copy/.git" ]; then
		rm -f "$copy/.git"
		as_build_user git -C "$copy" init --quiet
	fi
	echo "$copy"
}

# Builds the tool and prints the directory where the build user can run it: this
# checkout, or that user's copy, which then has the binary at the same place.
release_tree() {
	local tree=$ROOT
	(cd "$ROOT" && cargo build --release --locked --quiet) || return
	if is_root; then
		tree=$(sync_checkout)
		install -d -o "$BUILD_USER" -g "$BUILD_USER" "$tree/target" "$tree/target/release"
		install -m 755 "$TARGET/release/isar-build-all" "$tree/target/release/isar-build-all"
	elif [ "$TARGET" != "$ROOT/target" ]; then
		install -D -m 755 "$TARGET/release/isar-build-all" "$tree/target/release/isar-build-all"
	fi
	echo "$tree"
}

# The number of parallel builds: most of a build is serial, and each needs memory and disk space.
builds_at_once() {
	local cores
	cores=$(nproc)
	if [ "$cores" -gt 4 ]; then echo 4; else echo "$cores"; fi
}

# Makes the stand-in repository below the state directory of a tree and points kas at
# it; its commit is pinned by an overlay of its own. Its builds have caches, a state
# directory and outputs of their own, which must not mix with those of real builds.
standin_env() {
	local tree=$1 place
	place=$tree/.isar-build-all/standin
	as_build_user mkdir -p "$place/downloads" "$place/sstate"
	as_build_user "$tree/tests/standin/make-repo" "$place/isar.git" > /dev/null
	export KAS_PREMIRRORS="https://github.com/ilbers/isar file:///standin/isar.git"
	export ISAR_BUILD_ALL_MOUNTS="$place/isar.git:/standin/isar.git:ro"
	export DL_DIR="$place/downloads" SSTATE_DIR="$place/sstate"
	export ISAR_BUILD_ALL_STATE_DIR="$place/state" ISAR_BUILD_ALL_OUTPUT_DIR="$place/artifacts"
	export ISAR_BUILD_ALL_HASHES_FILE="$place/artifact-hashes.nix"
	# The caller passes them to the tool.
	# shellcheck disable=SC2034
	STANDIN_OPTIONS=(--overlay tests/standin/standin.yml)
}

# Runs tests as the build user; options are nextest's. Root compiles them and hands them over.
run_tests() {
	local archive status=0 tree
	if ! is_root; then
		cargo nextest run --locked --color never --no-fail-fast "$@"
		return
	fi
	tree=$(sync_checkout)
	archive=$tree/.isar-build-all/tests.tar.zst
	as_build_user mkdir -p "$tree/.isar-build-all"
	cargo nextest archive --locked --archive-file "$archive" || return
	chmod 644 "$archive"
	# By default insta looks for its snapshots in the directory of compilation.
	as_build_user /usr/bin/env -C "$tree" INSTA_WORKSPACE_ROOT="$tree" cargo-nextest nextest run \
		--archive-file "$archive" --workspace-remap "$tree" --color never --no-fail-fast "$@" || status=$?
	rm -f "$archive"
	return "$status"
}
