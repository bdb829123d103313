# shellcheck shell=sh
# Do the drives come back when the tool is killed while they are away?
# shellcheck source=tests/vm/guest/lib.sh
. /scenarios/lib.sh

processes() { # those of the tool that are, or are not, its watcher
	for process in $(pidof isar-build-all); do
		if tr '\0' ' ' < "/proc/$process/cmdline" | grep -q internal-watcher; then kind=watcher; else kind=tool; fi
		[ $kind != "$1" ] || echo "$process"
	done
}
kill_hard() {
	for process in $(processes "$1"); do kill -KILL "$process"; done
}
no_container() { not ls -d /run/podman/* && [ -z "$(pidof sgdisk)" ]; }

drives_are_taken_away() {
	start_build unmount --variant a
	must "the image task comes to sgdisk" at_sgdisk a || return
	must "no superblock lives" drives_go || return
}
both_are_killed() {
	drives_are_taken_away || return
	kill_hard watcher
	kill_hard tool
	sleep 2
	must "nobody brings them back" no_superblock || return
}

sigkill_recovered() {
	drives_are_taken_away || return
	asked=$(uptime_ms)
	sudo -n podman container exists none
	pace=$(($(uptime_ms) - asked))
	killed=$(uptime_ms)
	kill_hard tool
	must "the watcher brings the drives back" within 60 drives_are_back || return
	back_after=$(($(uptime_ms) - killed))
	must "the container is gone" within 30 no_container || return
	put_right

	both_are_killed || return
	must "wsl remount ends well" tool wsl remount || return
	must "wsl remount brings the drives back" drives_are_back || return
	put_right

	both_are_killed || return
	rm $VM/together
	guard=off
	must "the next start ends well" tool --no-color --variant b || return
	must "the next start brings the drives back" drives_are_back
}

# Ten seconds are those of a machine that has its host to itself: there a question to the engine takes less than one
# second. Where others use the host the machine is slower, and has as many times more.
drives_back_within_10_s() {
	took=${back_after:-0}
	must "the watcher brought them back" [ -n "${back_after:-}" ] || return
	limit=$((pace > 1000 ? pace * 10 : 10000))
	note "a question to the engine takes $pace ms; they were back after $took ms, and had $limit ms"
	must "it took no more than $limit ms, and not $took ms" [ "$took" -le $limit ]
}

make_project
mount_drives
before=$(drives)
note "$before"
guard=unmount
check sigkill_recovered
check drives_back_within_10_s
