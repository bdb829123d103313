//! System calls in which a process waits, by their numbers.
//!
//! Source: the tables of the Linux kernel, arch/x86/entry/syscalls/syscall_64.tbl and
//! include/uapi/asm-generic/unistd.h, which arm64 and riscv64 use.

/// What a system call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Every file system, or one, to be written: sync, syncfs.
    Sync,
    /// Input from the descriptor that is the first argument.
    Read,
    /// A lock on the descriptor that is the first argument.
    FileLock,
    /// A lock in memory.
    Lock,
    /// A child.
    Children,
    /// A socket.
    Network,
    /// One of several descriptors.
    Poll,
    /// Time.
    Sleep,
}

/// The call of a number on a machine, as `uname -m` names it.
pub(super) fn call(machine: &str, number: i64) -> Option<Call> {
    const X86_64: &[(i64, Call)] = &[
        (0, Call::Read),
        (7, Call::Poll),
        (17, Call::Read),
        (19, Call::Read),
        (23, Call::Poll),
        (35, Call::Sleep),
        (42, Call::Network),
        (43, Call::Network),
        (45, Call::Network),
        (47, Call::Network),
        (61, Call::Children),
        (72, Call::FileLock),
        (73, Call::FileLock),
        (162, Call::Sync),
        (202, Call::Lock),
        (230, Call::Sleep),
        (232, Call::Poll),
        (247, Call::Children),
        (270, Call::Poll),
        (271, Call::Poll),
        (281, Call::Poll),
        (288, Call::Network),
        (306, Call::Sync),
    ];
    const GENERIC: &[(i64, Call)] = &[
        (22, Call::Poll),
        (25, Call::FileLock),
        (32, Call::FileLock),
        (63, Call::Read),
        (65, Call::Read),
        (67, Call::Read),
        (72, Call::Poll),
        (73, Call::Poll),
        (81, Call::Sync),
        (95, Call::Children),
        (98, Call::Lock),
        (101, Call::Sleep),
        (115, Call::Sleep),
        (202, Call::Network),
        (203, Call::Network),
        (207, Call::Network),
        (212, Call::Network),
        (242, Call::Network),
        (260, Call::Children),
        (267, Call::Sync),
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
