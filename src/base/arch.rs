//! Processor architectures, by the names of Debian.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An architecture. It is written with Debian's name; the kernel's name is accepted as input, too.
///
/// Source of the names: `dpkg-architecture -L` (cpu table of dpkg).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86 (`x86_64`).
    Amd64,
    /// 64-bit ARM (`aarch64`).
    Arm64,
    /// 32-bit ARM with hardware floating point (`armv7l`).
    Armhf,
    /// 32-bit x86 (`i686`).
    I386,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Arch {
    /// Every architecture, in the order in which messages list them.
    pub const ALL: [Arch; 5] = [
        Arch::Amd64,
        Arch::Arm64,
        Arch::Armhf,
        Arch::I386,
        Arch::Riscv64,
    ];

    /// The name in Debian, as `dpkg --print-architecture` prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
            Arch::Armhf => "armhf",
            Arch::I386 => "i386",
            Arch::Riscv64 => "riscv64",
        }
    }

    /// The name in the kernel, as `uname -m` prints it.
    #[must_use]
    pub fn kernel_name(self) -> &'static str {
        match self {
            Arch::Amd64 => "x86_64",
            Arch::Arm64 => "aarch64",
            Arch::Armhf => "armv7l",
            Arch::I386 => "i686",
            Arch::Riscv64 => "riscv64",
        }
    }

    /// The architecture of the host, which is the one that this binary was compiled for.
    #[must_use]
    pub fn host() -> Option<Arch> {
        match std::env::consts::ARCH {
            "x86" => Some(Arch::I386),
            "arm" => Some(Arch::Armhf),
            other => other.parse().ok(),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An unknown name of an architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}`")]
pub struct UnknownArch(pub String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Arch::ALL
            .into_iter()
            .find(|arch| arch.as_str() == word || arch.kernel_name() == word)
            .ok_or_else(|| UnknownArch(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arch_reads_both_names_and_writes_that_of_debian() {
        for (word, arch) in [
            ("amd64", Arch::Amd64),
            ("x86_64", Arch::Amd64),
            ("aarch64", Arch::Arm64),
        ] {
            assert_eq!(word.parse(), Ok(arch));
        }
        assert_eq!(serde_json::to_string(&Arch::Arm64).unwrap(), "\"arm64\"");
        assert!("sparc".parse::<Arch>().is_err());
    }
}
