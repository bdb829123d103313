//! WSL: drives of Windows, and how they are kept from hanging a build.
//!
//! `sync(2)` walks every superblock of the kernel. sgdisk calls it while an image is made, and where one of them
//! is a Windows drive whose server does not answer, it never returns (FM-6). Either the drives are away
//! meanwhile, and proven to be, or sync does nothing inside the container. What is done, when, and how it is
//! undone by hand is in docs/wsl.md. Knows nothing of builds, events or reporters.

mod away;
mod call;
mod conf;
mod drive;
pub mod holders;
mod keeper;
mod ledger;
mod lost;
mod machine;
mod place;
mod proof;
mod seccomp;

pub use away::{Ask, AwayError, Back, Policy, Talk};
pub use conf::Automount;
pub use drive::{Drive, Drives, drives};
pub use keeper::{Hold, Keeper, Settled, Untaken, WriteDown, settle_dead};
pub use ledger::{Away, LedgerError, User, peek};
pub use lost::{Lost, lost, mount_lost};
pub use machine::{Machine, NoRoot};
pub use place::drive_of;
pub use seccomp::{filters, is_filtered, write_profile};
