# shellcheck shell=sh
# What the scenarios share: the drives, the build, counts taken in the kernel, and how results are told.
# A result is a line `@check {json}` on the console.

TRACING=/sys/kernel/tracing
VM=/run/vm
PROJECT=/home/isar/project
BUILD_LOG=/run/build.log
frozen=false
holders=fail
silence=600
helpers=
build=
C_OPTIONS='trans=virtio,version=9p2000.L,cache=mmap,msize=262144,aname=drvfs;path=C:\;uid=1000;gid=1000;symlinkroot=/mnt/,access=client,dirsync,noatime'
D_OPTIONS='trans=virtio,version=9p2000.L,cache=mmap,msize=65536,aname=drvfs;path=D:\;uid=1000;gid=1000;symlinkroot=/mnt/,access=client,nosuid,noexec'

# busybox' shell takes its own programs of these names otherwise.
alias mount=/usr/bin/mount umount=/usr/bin/umount
# The line to the host stays open: what comes between two uses would be lost.
exec 3<> /dev/ttyS1

uptime_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }
note() { echo "   $(cut -d ' ' -f 1 /proc/uptime) $*"; }

# Runs the function of a check's name and tells what came of it. A check says by `must` what has to hold,
# and ends with the first that does not.
check() {
	started=$(uptime_ms)
	why=
	took=
	echo "== $1 at $((started / 1000)) s"
	"$1"
	# A check can say what it measured.
	milliseconds=${took:-$(($(uptime_ms) - started))}
	ok=true
	[ -z "$why" ] || ok=false
	printf '@check {"name":"%s","ok":%s,"seconds":%d.%03d,"why":"%s"}\n' "$1" $ok $((milliseconds / 1000)) \
		$((milliseconds % 1000)) "$(printf '%s' "$why" | tr '\n\t' '  ' | sed 's/[\\"]/\\&/g')"
	put_right
}
must() {
	what=$1
	shift
	"$@" && return
	note "NOT: $what"
	why="$what"
	return 1
}
not() { ! "$@"; }

# What a check may leave is taken away before the next one, whatever came of it.
put_right() {
	[ "$frozen" = false ] || host thaw
	for process in $helpers; do kill -KILL "$process" 2> /dev/null; done
	helpers=
	rm -f $VM/together $VM/early $VM/wic-takes
	if [ -n "$build" ] && ! build_ends; then
		note "the build still runs"
		sed 's/^/   | /' $BUILD_LOG
		ps -o pid,stat,args | cut -c 1-160
		runc --root /run/runc list
		for process in $(pidof isar-build-all); do kill -KILL "$process"; done
	fi
	within 20 not pidof isar-build-all || note "the tool or its watcher still runs"
	for record in /run/podman/*; do
		[ ! -d "$record" ] || podman rm -f -t 1 "${record##*/}"
	done
	build=
	guard=
	holders=fail
	silence=600
	drives_are_back && return
	umount -l /mnt/c /mnt/d 2> /dev/null
	within 10 no_superblock || note "a superblock is left"
	mount_drives
}

# Waits until a command succeeds, at most so many seconds.
within() {
	seconds=$1
	shift
	end=$(($(uptime_ms) + seconds * 1000))
	until "$@" > /dev/null 2>&1; do
		[ "$(uptime_ms)" -lt $end ] || return 1
		sleep 0.2
	done
}

# Asks the host to freeze or thaw what is behind /mnt/c and waits until that was done.
host() {
	echo "$1" >&3
	read -r answer <&3
	[ "$1" = freeze ] && frozen=true || frozen=false
	[ "$answer" = "done" ] || { note "the host said $answer to $1"; return 1; }
}

# The backslash is a part of the name that WSL gives a drive.
# shellcheck disable=SC1003
mount_drives() {
	mkdir -p /mnt/c /mnt/d
	mount -i -t 9p -o "$C_OPTIONS" 'C:\' /mnt/c && mount -i -t 9p -o "$D_OPTIONS" 'D:\' /mnt/d &&
		mount --make-private /mnt/d
}

# The drives as mountinfo tells of them, without the numbers that a new mount gets anew.
drives() { awk '/ - 9p / { $1 = $2 = $3 = ""; sub(/shared:[0-9]+/, "shared"); print }' /proc/self/mountinfo; }
drives_are_back() { [ "$(drives)" = "$before" ] && [ -n "$before" ] && [ -e /mnt/c/from-windows ] && [ -e /mnt/d/from-windows ]; }
superblocks() { find /sys/class/bdi -name '9p-*' | wc -l; }
no_drive() { [ -z "$(drives)" ]; }
# They go once the container is paused, and before sgdisk in a real build, which comes to it much later.
drives_go() { within 180 no_superblock; }
no_superblock() { [ "$(superblocks)" = 0 ]; }

# The kernel's own count of the calls of a function.
count_calls() {
	for function in "$@"; do
		echo "p:vm/$function $function" >> $TRACING/kprobe_events
		echo "hist:keys=common_pid.execname" > "$TRACING/events/vm/$function/trigger"
	done
}
calls() { awk '/^ *Hits:/ { print $2 }' "$TRACING/events/vm/$1/hist"; }
callers() { sed -n 's/.*common_pid: \([^ ]*\) *\[ *\([0-9]*\)\].*/\1/p' "$TRACING/events/vm/$1/hist" | sort -u | tr '\n' ' '; }

# What was called since, in order: a line for each function and who called it.
trace_calls() {
	for function in "$@"; do echo 1 > "$TRACING/events/vm/$function/enable"; done
	echo > $TRACING/trace
}
traced() { sed -n 's/^ *\(.*\)-[0-9]* .*: \([a-z0-9_]*\): (.*/\2 \1/p' $TRACING/trace; }

# Makes a page of a file dirty and keeps it so.
start_hold() {
	hold "$1" > /run/held 2>&1 &
	helpers="$helpers $!"
	within 20 grep -q held /run/held
}

make_project() {
	mkdir -p $PROJECT/kas $VM
	chmod 777 $VM
	for file in base a b; do printf 'header:\n  version: 14\n' > $PROJECT/kas/$file.yml; done
	cp /scenarios/variants.toml $PROJECT/
	git_dir=$PROJECT/.git
	mkdir -p $git_dir/objects $git_dir/refs
	echo "ref: refs/heads/main" > $git_dir/HEAD
	chown -R isar:isar /home/isar
}

# Runs the tool as the unprivileged user, in an environment as WSL's.
tool() (
	cd $PROJECT || return
	exec /usr/bin/setpriv --reuid isar --regid isar --clear-groups env -i \
		PATH=/usr/sbin:/usr/bin HOME=/home/isar USER=isar \
		WSL_DISTRO_NAME=Debian WSL_INTEROP=/run/WSL/1_interop \
		KAS_CONTAINER_ENGINE=podman ISAR_BUILD_ALL_STORE=local ISAR_BUILD_ALL_MOUNTS=$VM:/vm \
		ISAR_BUILD_ALL_BUILD_SPACE=1 ISAR_BUILD_ALL_MIN_FREE=0 ISAR_BUILD_ALL_SKIP_GATES="architecture shape content" \
		ISAR_BUILD_ALL_WSL_SYNC_GUARD="$guard" ISAR_BUILD_ALL_WSL_HOLDERS="$holders" \
		ISAR_BUILD_ALL_SILENCE_LIMIT="$silence" isar-build-all "$@"
)

# Starts a build in the background; its output is on the console, too.
start_build() {
	guard=$1
	shift
	rm -f $VM/*.at-sgdisk $VM/*.early $VM/*.go $VM/*.done $BUILD_LOG
	touch $VM/together
	tool --no-color --no-skip "$@" > $BUILD_LOG 2>&1 &
	build=$!
}
build_ends() { not kill -0 "$build" 2> /dev/null; }
# Limits are generous: on a busy host everything here takes many times longer.
build_ends_with() {
	if within 180 build_ends; then
		wait "$build"
		code=$?
	else
		code=none
	fi
	sed 's/^/   | /' $BUILD_LOG
	[ "$code" = "$1" ] && return
	note "the build's code is $code"
	return 1
}
at_sgdisk() {
	within 180 came_to_sgdisk "$1"
	[ -e "$VM/$1.at-sgdisk" ]
}
came_to_sgdisk() { [ -e "$VM/$1.at-sgdisk" ] || build_ends; }
is_paused() { runc --root /run/runc list | grep -q "$1.* paused "; }
let_go() { touch "$VM/$1.go"; }
finishes_sgdisk() { within 45 test -e "$VM/$1.done"; }

# Whether the image that was captured of a variant is what sgdisk was told to make.
gpt_is_right() {
	entry=$PROJECT/artifacts/qemuamd64/isar-$1-qemuamd64.wic
	sgdisk -v "$entry" | grep -q '^No problems found' &&
		sgdisk -i 1 "$entry" | grep -q "^Partition name: 'efi'" &&
		sgdisk -i 1 "$entry" | grep -q '^Partition GUID code: C12A7328-F81F-11D2-BA4B-00A0C93EC93B' &&
		sgdisk -i 2 "$entry" | grep -q "^Partition name: 'root-$1'" &&
		sgdisk -i 2 "$entry" | grep -q '^Partition unique GUID: 0F0E0D0C-0B0A-4908-8706-050403020100'
}
