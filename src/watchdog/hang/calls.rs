//! System calls in which a process waits, by number. Pure.
//!
//! Source: the Linux kernel's `arch/x86/entry/syscalls/syscall_64.tbl` and
//! `include/uapi/asm-generic/unistd.h`; arm64 and riscv64 use the latter.

/// A kind of system call, by what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitingCall {
    /// Write-back of all file systems (sync) or of one (syncfs).
    Sync,
    /// Input from the file descriptor in the first argument.
    Read,
    /// A lock on the file descriptor in the first argument.
    FileLock,
    /// A futex.
    Lock,
    /// The end of a child process.
    Children,
    /// A socket.
    Network,
    /// One of several file descriptors.
    Poll,
    /// A time.
    Sleep,
}

/// The kind of system call `number` on `machine` (`uname -m`); none if it is unknown or does not
/// wait.
pub(crate) fn waiting_call(machine: &str, number: i64) -> Option<WaitingCall> {
    const X86_64: &[(i64, WaitingCall)] = &[
        (0, WaitingCall::Read),
        (7, WaitingCall::Poll),
        (17, WaitingCall::Read),
        (19, WaitingCall::Read),
        (23, WaitingCall::Poll),
        (35, WaitingCall::Sleep),
        (42, WaitingCall::Network),
        (43, WaitingCall::Network),
        (45, WaitingCall::Network),
        (47, WaitingCall::Network),
        (61, WaitingCall::Children),
        (72, WaitingCall::FileLock),
        (73, WaitingCall::FileLock),
        (162, WaitingCall::Sync),
        (202, WaitingCall::Lock),
        (230, WaitingCall::Sleep),
        (232, WaitingCall::Poll),
        (247, WaitingCall::Children),
        (270, WaitingCall::Poll),
        (271, WaitingCall::Poll),
        (281, WaitingCall::Poll),
        (288, WaitingCall::Network),
        (306, WaitingCall::Sync),
    ];
    const GENERIC: &[(i64, WaitingCall)] = &[
        (22, WaitingCall::Poll),
        (25, WaitingCall::FileLock),
        (32, WaitingCall::FileLock),
        (63, WaitingCall::Read),
        (65, WaitingCall::Read),
        (67, WaitingCall::Read),
        (72, WaitingCall::Poll),
        (73, WaitingCall::Poll),
        (81, WaitingCall::Sync),
        (95, WaitingCall::Children),
        (98, WaitingCall::Lock),
        (101, WaitingCall::Sleep),
        (115, WaitingCall::Sleep),
        (202, WaitingCall::Network),
        (203, WaitingCall::Network),
        (207, WaitingCall::Network),
        (212, WaitingCall::Network),
        (242, WaitingCall::Network),
        (260, WaitingCall::Children),
        (267, WaitingCall::Sync),
    ];
    let table = match machine {
        "x86_64" => X86_64,
        "aarch64" | "riscv64" => GENERIC,
        _ => return None,
    };
    table
        .iter()
        .find(|(known, _)| *known == number)
        .map(|(_, call)| *call)
}
