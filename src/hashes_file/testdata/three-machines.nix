# Hashes of images.
#
# Edited by hand, too.
{
  # =========================================================================
  # qemuamd64 - base
  # =========================================================================
  "isar-base-qemuamd64.wic" = "0b5lk30580zn40d2nvl27hb47dgsl3scr1610pi19ima3q7lq76j"; # from the lab

  # =========================================================================
  # qemuamd64 - server (a note)
  # =========================================================================
  "isar-server-qemuamd64.wic" = "0iz7j1xp2zamsms4pwmh145n49z655b9jgb2536pkhqjznbnaqv7";
  "isar-server-qemuamd64-vmlinuz" = "17nvnhvxr84r3210749ivlwa2qvgpjpjzj42kssy1bh02wzqrcg3";

	# A tab, an older spelling, and two blank lines.


	"isar-base-qemuarm64.wic"="07wf98kmj73lmxlzbn18rab7bzzfn984dcfrslksxhnrrhcm7dxa" ;
}
# After the end.
