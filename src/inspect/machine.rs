//! The machine of a program, from its first bytes.
//!
//! Sources: the ELF header (System V ABI, `e_machine` of elf.h), the PE/COFF format of Microsoft with the
//! machine types and subsystems of the UEFI specification, and of the Linux kernel
//! Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst.

use crate::base::arch::Arch;

/// The number of bytes of a program that are needed.
pub(super) const HEAD: usize = 4096;

/// The machine that a program runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machine {
    /// One of the known architectures.
    Of(Arch),
    /// Any machine: byte code, or none named.
    Any,
    /// Another machine, by its name.
    Other(String),
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Machine::Of(arch) => arch.fmt(f),
            Machine::Any => f.write_str("any machine"),
            Machine::Other(name) => f.write_str(name),
        }
    }
}

/// The machine of a program or kernel; `None` for other data. Programs of Windows are data: only EFI programs
/// count among PE files.
#[must_use]
pub fn of(head: &[u8]) -> Option<Machine> {
    elf(head)
        .or_else(|| arm64_image(head))
        .or_else(|| bzimage(head))
        .or_else(|| pe(head))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn elf(head: &[u8]) -> Option<Machine> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let wide = head.get(4)? == &2;
    let machine = match head.get(5)? {
        2 => u16_at(head, 18)?.swap_bytes(),
        _ => u16_at(head, 18)?,
    };
    let other = |name: &str| Machine::Other(name.to_owned());
    Some(match (machine, wide) {
        // EM_NONE, and EM_BPF: programs for the kernel's own virtual machine.
        (0 | 247, _) => Machine::Any,
        (3 | 6, _) => Machine::Of(Arch::I386),
        (40, _) => Machine::Of(Arch::Armhf),
        (62, true) => Machine::Of(Arch::Amd64),
        (62, false) => other("x32"),
        (183, true) => Machine::Of(Arch::Arm64),
        (183, false) => other("arm64 with 32-bit pointers"),
        (243, true) => Machine::Of(Arch::Riscv64),
        (243, false) => other("riscv32"),
        (2 | 18 | 43, _) => other("sparc"),
        (8, _) => other("mips"),
        (20, _) => other("powerpc"),
        (21, _) => other("ppc64"),
        (22, _) => other("s390"),
        (258, _) => other("loongarch"),
        (number, _) => Machine::Other(format!("ELF machine {number}")),
    })
}

/// A raw arm64 `Image`; it may have a PE header, too.
fn arm64_image(head: &[u8]) -> Option<Machine> {
    (head.get(0x38..0x3c)? == b"ARM\x64").then_some(Machine::Of(Arch::Arm64))
}

/// An x86 `bzImage`; from protocol 2.12 on, the header shows whether the kernel has 64 bits.
fn bzimage(head: &[u8]) -> Option<Machine> {
    if head.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let (version, xloadflags) = (u16_at(head, 0x206)?, u16_at(head, 0x236)?);
    let of_32_bits = version >= 0x20c && xloadflags & 1 == 0;
    Some(Machine::Of(if of_32_bits {
        Arch::I386
    } else {
        Arch::Amd64
    }))
}

/// The size of a bzImage by its header, in bytes: its setup sectors and its protected-mode code.
pub(super) fn bzimage_size(head: &[u8]) -> Option<u64> {
    if head.get(0x202..0x206)? != b"HdrS" || u16_at(head, 0x206)? < 0x204 {
        return None;
    }
    let setup = match *head.get(0x1f1)? {
        0 => 4,
        sectors => u64::from(sectors),
    };
    Some((setup + 1) * 512 + u64::from(u32_at(head, 0x1f4)?) * 16)
}

/// An EFI program.
fn pe(head: &[u8]) -> Option<Machine> {
    if !head.starts_with(b"MZ") {
        return None;
    }
    let at = usize::try_from(u32_at(head, 0x3c)?).ok()?;
    if head.get(at..at.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    // EFI application, boot service driver, runtime driver, ROM.
    if !(10..=13).contains(&u16_at(head, at + 24 + 68)?) {
        return None;
    }
    Some(match u16_at(head, at + 4)? {
        0x14c => Machine::Of(Arch::I386),
        0x8664 => Machine::Of(Arch::Amd64),
        0xaa64 => Machine::Of(Arch::Arm64),
        0x1c0 | 0x1c2 | 0x1c4 => Machine::Of(Arch::Armhf),
        0x5064 => Machine::Of(Arch::Riscv64),
        0xebc => Machine::Any,
        number => Machine::Other(format!("PE machine {number:#x}")),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The 64 bytes of an ELF header.
    pub(in crate::inspect) fn elf_head(machine: u16, wide: bool) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1, 1]);
        head[18..20].copy_from_slice(&machine.to_le_bytes());
        head
    }

    fn pe_head(machine: u16, subsystem: u16) -> Vec<u8> {
        let mut head = vec![0; 512];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c] = 0x80;
        head[0x80..0x84].copy_from_slice(b"PE\0\0");
        head[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
        head[0x80 + 92..0x80 + 94].copy_from_slice(&subsystem.to_le_bytes());
        head
    }

    #[test]
    fn elf_programs_are_told_apart() {
        assert_eq!(of(&elf_head(62, true)), Some(Machine::Of(Arch::Amd64)));
        assert_eq!(of(&elf_head(183, true)), Some(Machine::Of(Arch::Arm64)));
        assert_eq!(of(&elf_head(62, false)), Some(Machine::Other("x32".into())));
        assert_eq!(of(&elf_head(247, true)), Some(Machine::Any));
        let mut big = elf_head(0, true);
        big[5] = 2;
        big[19] = 22;
        assert_eq!(of(&big), Some(Machine::Other("s390".into())));
        assert_eq!(of(b"#!/bin/sh\n"), None);
        assert_eq!(of(b"\x7fELF\x02\x01"), None, "too short to say");
    }

    #[test]
    fn efi_programs_count_and_windows_programs_do_not() {
        assert_eq!(of(&pe_head(0xaa64, 10)), Some(Machine::Of(Arch::Arm64)));
        assert_eq!(of(&pe_head(0x8664, 12)), Some(Machine::Of(Arch::Amd64)));
        assert_eq!(of(&pe_head(0x8664, 3)), None);
        let mut far = pe_head(0x8664, 10);
        far[0x3c..0x40].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(of(&far), None);
    }

    #[test]
    fn kernels_are_told_apart() {
        let mut image = vec![0; 64];
        image[0x38..0x3c].copy_from_slice(b"ARM\x64");
        assert_eq!(of(&image), Some(Machine::Of(Arch::Arm64)));
        let mut bzimage = vec![0; 1024];
        bzimage[0x202..0x206].copy_from_slice(b"HdrS");
        bzimage[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        assert_eq!(of(&bzimage), Some(Machine::Of(Arch::I386)));
        bzimage[0x236] = 1;
        assert_eq!(of(&bzimage), Some(Machine::Of(Arch::Amd64)));
        bzimage[0x1f4] = 32;
        assert_eq!(bzimage_size(&bzimage), Some(5 * 512 + 512));
    }
}
