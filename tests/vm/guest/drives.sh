# shellcheck shell=sh
# Are the drives really gone while the image task runs, is it said who keeps them from that, and are they
# back afterwards as they were?
# shellcheck source=tests/vm/guest/lib.sh
. /scenarios/lib.sh

superblock_gone() {
	start_build unmount --variant a
	must "the image task comes to sgdisk" at_sgdisk a || return
	must "no superblock lives" drives_go || return
	must "no drive is mounted" no_drive || return
	let_go a
	must "the build ends" build_ends_with 0 || return
	must "the GPT is right" gpt_is_right a || return
	after=$(drives)
	listed=$(ls /mnt/c /mnt/d)
}

remount_same_options() {
	must "a build unmounted them" [ -n "$after" ] || return
	must "source, options, propagation and order are as before: $after" [ "$after" = "$before" ] || return
	must "both can be listed: $listed" [ "$(echo "$listed" | grep -c from-windows)" = 2 ]
}

# Nobody holds sgdisk back: the pause must be there first, and every sync of sgdisk must fall between the death of
# the drives' superblocks and their next mount, as the kernel tells.
no_sync_meets_a_drive() {
	trace_calls ksys_sync v9fs_kill_super v9fs_mount
	echo 20 > $VM/wic-takes
	start_build unmount --variant a
	rm $VM/together
	must "the build ends" build_ends_with 0 || return
	order=$(traced | sed -n -e 's/^\(ksys_sync\) sgdisk/\1/p' -e 's/^\(v9fs[a-z_]*\) .*/\1/p' | uniq -c | awk '{ print $1, $2 }')
	note "$(echo "$order" | tr '\n' ';')"
	must "both are unmounted, sgdisk syncs, both are mounted: $order" \
		[ "$(echo "$order" | sed 's/^[0-9]* ksys/n ksys/' | tr '\n' ';')" = "2 v9fs_kill_super;n ksys_sync;2 v9fs_mount;" ] || return
	must "the GPT is right" gpt_is_right a || return
	must "the drives are back" drives_are_back
}

# Counted in the kernel: each drive's superblock dies once and is made once.
two_builds_one_unmount() {
	deaths=$(calls v9fs_kill_super) mounts=$(calls v9fs_mount)
	start_build unmount -j 2
	must "the first image task comes to sgdisk" at_sgdisk a || return
	must "the second comes there while the first is in it" at_sgdisk b || return
	must "no superblock lives" drives_go || return
	let_go a
	must "the first finishes" finishes_sgdisk a || return
	must "the first is told to have ended" within 60 grep -q 'qemuamd64/a .*registered' $BUILD_LOG || return
	must "the drives stay away for the second" no_superblock || return
	let_go b
	must "the builds end" build_ends_with 0 || return
	must "both GPTs are right" both_are_right || return
	must "the drives are back" drives_are_back || return
	deaths=$(($(calls v9fs_kill_super) - deaths)) mounts=$(($(calls v9fs_mount) - mounts))
	must "each drive is unmounted once, not $deaths/2 times" [ $deaths = 2 ] || return
	must "each drive is mounted once, not $mounts/2 times" [ $mounts = 2 ]
}
both_are_right() { gpt_is_right a && gpt_is_right b; }

said_who() { grep -qF "pid $1 ($2" $BUILD_LOG; }

holder_named() {
	(cd /mnt/c && exec sleep 1000) &
	holder=$!
	helpers="$helpers $holder"
	holders='fail'
	start_build unmount --variant a
	must "told to fail, the build fails" build_ends_with 10 || return
	must "it is said who holds the drive" said_who $holder 'sleep 1000' || return
	must "sgdisk did not run" not test -e $VM/a.done || return
	must "the drives are back" within 60 drives_are_back || return
	holders='wait'
	start_build unmount --variant a
	must "it is said who is waited for" within 180 said_who $holder 'sleep 1000' || return
	must "the container is paused" is_paused qemuamd64-a || return
	paused=$(runc --root /run/runc list | awk '/ paused / { print $2 }')
	note "its first process sleeps in $(cat "/proc/$paused/wchan")"
	let_go a
	sleep 5
	must "the build waits" not test -e $VM/a.done || return
	kill $holder
	must "with the holder gone the build ends" build_ends_with 0 || return
	must "the GPT is right" gpt_is_right a || return
	must "the drives are back" drives_are_back
}

# There the drives live on when they are unmounted here, and mountinfo here does not show them.
other_namespace_found() {
	unshare -m sh -c 'mount --make-rprivate / && exec sleep 1001' &
	holder=$!
	helpers="$helpers $holder"
	within 10 grep -q 'sleep.1001' /proc/$holder/cmdline
	holders='fail'
	start_build unmount --variant a
	must "the build fails" build_ends_with 10 || return
	must "it is said who holds the drives" said_who $holder 'sleep 1001' || return
	# Until then the drives' virtio channels are taken; WSL would make new connections.
	kill $holder
	must "with the holder gone wsl remount ends well" tool wsl remount || return
	must "the drives are back" drives_are_back
}

make_project
mount_drives
before=$(drives)
note "$before"
count_calls ksys_sync v9fs_kill_super v9fs_mount
check superblock_gone
check remount_same_options
check no_sync_meets_a_drive
check two_builds_one_unmount
check holder_named
check other_namespace_found
