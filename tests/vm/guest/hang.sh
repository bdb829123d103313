# shellcheck shell=sh
# Does sync(2) of sgdisk hang on a drive that does not answer, and does each guard keep it from that?
# shellcheck source=tests/vm/guest/lib.sh
. /scenarios/lib.sh

hanging_sgdisk() {
	for process in $(pidof sgdisk); do
		grep -q '^State:.D' "/proc/$process/status" && grep -q 'sync' "/proc/$process/stack" && return
	done
	return 1
}

told_of_fm6() { grep -o 'sgdisk (pid [0-9]*) hangs in .*(FM-6)' $BUILD_LOG; }

unguarded_hangs() {
	must "a page of a drive is dirty" start_hold /mnt/c/page || return
	silence=1
	start_build off --variant a
	must "the image task comes to sgdisk" at_sgdisk a || return
	must "the server stops to answer" host freeze || return
	let_go a
	must "sgdisk blocks in sync" within 30 hanging_sgdisk || return
	sleep 5
	# As long as the drive stays frozen, for on a busy host a look takes its time.
	within 35 told_of_fm6
	must "sgdisk still blocks after 5 s" hanging_sgdisk || return
	must "sgdisk has not finished" not test -e $VM/a.done || return
	grep -H . "/proc/$(pidof sgdisk)/stack"
	unguarded=$(calls ksys_sync)
	note "sync was called $unguarded times, by $(callers ksys_sync)"
	must "the server was away all the time" host thaw || return
	told=$(told_of_fm6)
	must "with the server back the build ends" build_ends_with 0 || return
	must "the GPT is right" gpt_is_right a
}

# The watchdog of the hanging build, which has looked at its processes through the engine.
watchdog_names_fm6() {
	note "${told:-nothing was told}"
	must "the silent sgdisk is told to hang in 9p" [ "${told#*hangs in p9_}" != "$told" ]
}

# The drive stays, its page is dirty, its server does not answer: and nobody enters sync.
seccomp_guard_finishes() {
	must "a page of a drive is dirty" start_hold /mnt/c/page || return
	start_build seccomp --variant a
	must "the image task comes to sgdisk" at_sgdisk a || return
	must "the drives stay" drives_are_back || return
	must "the server stops to answer" host freeze || return
	syncs=$(calls ksys_sync)
	let_go a
	must "sgdisk finishes" finishes_sgdisk a || return
	guarded=$(($(calls ksys_sync) - syncs))
	must "the server was away all the time" host thaw || return
	must "the build ends" build_ends_with 0 || return
	must "the GPT is right" gpt_is_right a
}

no_sync_in_kernel() {
	note "unguarded: ${unguarded:-not counted}, guarded: ${guarded:-not counted}"
	must "without the guard the kernel counts the calls" [ "${unguarded:-0}" -gt 0 ] || return
	must "with the guard it counts none" [ "${guarded:-1}" = 0 ]
}

# A drive that is still there is made to hang, as whoever works in Windows might.
unmount_guard_finishes() {
	start_build unmount --variant a
	must "the image task comes to sgdisk" at_sgdisk a || return
	drives_go
	if [ -e /mnt/c/from-windows ]; then
		note "the drive is still there"
		start_hold /mnt/c/page
	fi
	must "the server stops to answer" host freeze || return
	let_go a
	must "sgdisk finishes" finishes_sgdisk a || return
	must "the server was away all the time" host thaw || return
	must "the build ends" build_ends_with 0 || return
	must "the GPT is right" gpt_is_right a || return
	must "the drives are back" within 60 drives_are_back
}

# What syncs in the container when the image task is named is in sync(2) when the pause comes: it must be seen.
late_pause_is_noticed() {
	must "a page of a drive is dirty" start_hold /mnt/c/page || return
	touch $VM/early
	holders='wait'
	start_build unmount --variant a
	rm $VM/together
	must "the build runs" within 180 test -e $VM/a.early || return
	must "the server stops to answer" host freeze || return
	rm $VM/early
	must "it is said who is in sync" within 55 grep -q 'container-entrypoint.*): sync(2) is under way already' $BUILD_LOG || return
	must "no drive was unmounted" [ "$(drives)" = "$before" ] || return
	must "sgdisk did not run" not test -e $VM/a.done || return
	must "the server was away all the time" host thaw || return
	for process in $helpers; do kill -KILL "$process"; done
	must "with sync done and nobody on the drive the build ends" build_ends_with 0 || return
	must "the GPT is right" gpt_is_right a || return
	must "the drives are back" drives_are_back
}

make_project
mount_drives
before=$(drives)
note "$before"
count_calls ksys_sync
check unguarded_hangs
check watchdog_names_fm6
check seccomp_guard_finishes
check no_sync_in_kernel
check unmount_guard_finishes
check late_pause_is_noticed
