//! The processor of a program, from the first bytes of its file.
//!
//! Sources: the ELF header of the System V ABI (`e_ident`, `e_machine` at 18), the PE/COFF format of Microsoft
//! (`e_lfanew` at 0x3c, then `PE\0\0` and `Machine`).

use crate::base::arch::Arch;

/// The number of bytes that [`machine`] needs.
pub const HEAD: usize = 4096;

/// The processor in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeaderMachine {
    /// One of the known architectures.
    Of(Arch),
    /// Any other: firmware, byte code for the kernel.
    Other,
}

/// The format of a program file, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExecutableFormat {
    /// The format of Linux.
    Elf,
    /// The format of Windows and EFI.
    Pe,
}

impl ExecutableFormat {
    /// The name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ExecutableFormat::Elf => "ELF",
            ExecutableFormat::Pe => "PE",
        }
    }
}

/// Format and processor of a file that begins with `head`; `None` if it is neither ELF nor PE.
#[must_use]
pub fn machine(head: &[u8]) -> Option<(ExecutableFormat, HeaderMachine)> {
    elf(head)
        .map(|machine| (ExecutableFormat::Elf, machine))
        .or_else(|| pe(head).map(|machine| (ExecutableFormat::Pe, machine)))
}

fn elf(head: &[u8]) -> Option<HeaderMachine> {
    let rest = head.strip_prefix(b"\x7fELF")?;
    let (class, order) = (*rest.first()?, *rest.get(1)?);
    let bytes: [u8; 2] = head.get(18..20)?.try_into().ok()?;
    let code = match order {
        1 => u16::from_le_bytes(bytes),
        2 => u16::from_be_bytes(bytes),
        _ => return None,
    };
    let arch = match (code, class, order) {
        (3, _, 1) => Arch::I386,
        (40, _, 1) => Arch::Armhf,
        (62, _, 1) => Arch::Amd64,
        (183, _, 1) => Arch::Arm64,
        (243, 2, 1) => Arch::Riscv64,
        _ => return Some(HeaderMachine::Other),
    };
    Some(HeaderMachine::Of(arch))
}

fn pe(head: &[u8]) -> Option<HeaderMachine> {
    if !head.starts_with(b"MZ") {
        return None;
    }
    let offset: [u8; 4] = head.get(0x3c..0x40)?.try_into().ok()?;
    let header = head.get(usize::try_from(u32::from_le_bytes(offset)).ok()?..)?;
    let code: [u8; 2] = header.strip_prefix(b"PE\0\0")?.get(..2)?.try_into().ok()?;
    let arch = match u16::from_le_bytes(code) {
        0x014c => Arch::I386,
        0x01c0 | 0x01c2 | 0x01c4 => Arch::Armhf,
        0x5064 => Arch::Riscv64,
        0x8664 => Arch::Amd64,
        0xaa64 => Arch::Arm64,
        _ => return Some(HeaderMachine::Other),
    };
    Some(HeaderMachine::Of(arch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf_head(class: u8, order: u8, code: [u8; 2]) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order]);
        head[18..20].copy_from_slice(&code);
        head
    }

    #[test]
    fn elf_headers_are_read_in_their_byte_order() {
        let of = |head: &[u8]| machine(head).map(|(format, machine)| (format.as_str(), machine));
        let known = |arch| Some(("ELF", HeaderMachine::Of(arch)));
        assert_eq!(of(&elf_head(2, 1, [183, 0])), known(Arch::Arm64));
        assert_eq!(of(&elf_head(2, 1, [62, 0])), known(Arch::Amd64));
        assert_eq!(of(&elf_head(2, 1, [243, 0])), known(Arch::Riscv64));
        // 32-bit RISC-V and the kernel's byte code have no known architecture.
        for head in [
            elf_head(1, 1, [243, 0]),
            elf_head(2, 1, [247, 0]),
            elf_head(2, 2, [0, 183]),
        ] {
            assert_eq!(of(&head), Some(("ELF", HeaderMachine::Other)));
        }
    }

    #[test]
    fn pe_headers_are_found_behind_the_stub() {
        let mut head = vec![0; 0x100];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c] = 0x80;
        assert_eq!(machine(&head), None);
        head[0x80..0x86].copy_from_slice(b"PE\0\0\x64\xaa");
        assert_eq!(
            machine(&head),
            Some((ExecutableFormat::Pe, HeaderMachine::Of(Arch::Arm64)))
        );
    }

    #[test]
    fn nothing_short_or_wild_is_taken_for_a_program() {
        let whole = elf_head(2, 1, [62, 0]);
        for length in 0..20 {
            assert_eq!(machine(&whole[..length]), None);
        }
        let mut wild = vec![0xff; 0x40];
        wild[..2].copy_from_slice(b"MZ");
        assert_eq!(machine(&wild), None);
        assert_eq!(machine(b"#!/bin/sh\n"), None);
    }
}
