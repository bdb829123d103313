//! WSL: keeps builds from hanging on Windows drives.
//!
//! `sync(2)` visits every superblock of the kernel. sgdisk calls it while an image is made; if one
//! superblock is a Windows drive that does not answer, the call never returns (FM-6). Two guards
//! prevent it: a seccomp profile that turns `sync(2)` into a no-op in the build's container, or
//! unmounting the drives while an image is made, with a proof that their superblocks are gone.
//! docs/wsl.md describes both, and how to undo them by hand.
//!
//! [`guard_setup`] chooses the guard of a run, [`image_guard`] applies it to one build. [`drive_keeper`] counts
//! the builds that need the drives unmounted (`ledger`), `unmount` and `remount` do the work.

mod call;
mod conf;
pub mod drive;
pub mod drive_keeper;
pub mod drive_users;
pub mod guard_setup;
pub mod host;
pub mod image_guard;
pub mod ledger;
pub mod misplaced;
pub mod missing_mounts;
mod path_on_drive;
mod remount;
mod retry_prompt;
pub mod seccomp;
mod superblocks;
pub mod unmount;

pub use crate::wsl::conf::AutomountConf;
pub use crate::wsl::drive::WindowsDrive;
pub use crate::wsl::host::WslHost;
pub use crate::wsl::path_on_drive::drive_of;
pub use crate::wsl::remount::RemountResult;
