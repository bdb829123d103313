//! The gates Architecture and Shape: inspect the captured files. Blocking.
//!
//! Shape refuses files that are incomplete or of another format than declared, Architecture refuses programs for another
//! machine. How a file is read is in [`crate::inspect`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::base::arch::Arch;
use crate::event::GateVerdict;
use crate::event::numbers;
use crate::fs::PathError;
use crate::inspect;
use crate::inspect::format::Format;
use crate::inspect::{Report, Rules};
use crate::settings::GateChoice;
use crate::steps::context::StepContext;
use crate::steps::gates::{emit, is_skipped, warn_skipped};
use crate::steps::result::StepResult;
use crate::store::Captured;

/// Paths where every image may have programs for other machines: those of firmware, boot loaders and co-processors.
/// docs/gates.md explains each.
const FOREIGN: &[&str] = &[
    "{,/usr}/lib/firmware/**",
    "{,/usr}/lib/grub/**",
    "/boot/grub/**",
    "/grub/**",
    "{,/usr}/lib/syslinux/**",
    "{,/usr}/lib/SYSLINUX/**",
    "{,/usr}/lib/modules/*/vdso/**",
    "{,/usr}/lib/u-boot/**",
    "{,/usr}/lib/arm-trusted-firmware/**",
    "{,/usr}/lib/ipxe/**",
    "{,/usr}/lib/systemd/boot/efi/*ia32*",
    "/usr/share/qemu/**",
    "/usr/share/seabios/**",
];

/// A captured file to inspect.
pub(in crate::steps) struct InspectedFile {
    pub(in crate::steps) kind: String,
    pub(in crate::steps) unique_name: String,
    pub(in crate::steps) deploy_name: String,
    pub(in crate::steps) path: PathBuf,
}

impl From<&Captured> for InspectedFile {
    fn from(captured: &Captured) -> InspectedFile {
        InspectedFile {
            kind: captured.kind.clone(),
            unique_name: captured.unique_name.clone(),
            deploy_name: captured.deploy_name.clone(),
            path: captured.path.clone(),
        }
    }
}

/// Runs the gates on the files of the variant.
pub(in crate::steps) fn check(
    cx: &StepContext,
    captured: &[InspectedFile],
) -> Result<(), StepResult> {
    let closed = |gate| !is_skipped(cx, gate);
    let (architecture, shape) = (closed(GateChoice::Architecture), closed(GateChoice::Shape));
    for gate in [GateChoice::Architecture, GateChoice::Shape] {
        if is_skipped(cx, gate) {
            warn_skipped(cx, gate);
        }
    }
    if !architecture && !shape {
        return Ok(());
    }
    let rules = Rules {
        arch: cx.variant.arch,
        foreign: foreign(&cx.settings.foreign_allowed.value)?,
        stop: Arc::new(cx.killed()),
    };
    let mut refusals = Vec::new();
    let mut hint = None;
    for one in captured {
        let report = report(captured, one, &rules)
            .map_err(|error| StepResult::error(&error, error.hint()))?;
        if (rules.stop)() {
            return Err(StepResult::cancelled());
        }
        if shape {
            let mut wrong = findings(&report, inspect::Gate::Shape);
            let other = if wrong.is_empty() {
                other_format(cx, one, &report)
            } else {
                hint.get_or_insert(format!(
                    "it is not registered; build it again: isar-build-all --variant {}",
                    cx.variant.key
                ));
                None
            };
            if let Some(why) = &other {
                wrong.push(why);
                hint.get_or_insert(format!(
                    "if the file is what it should be, say so in variants.toml: {} = {{ …, format = \
                     \"any\" }} (docs/gates.md)",
                    one.kind
                ));
            }
            refusals.extend(verdict(cx, GateChoice::Shape, one, &wrong, || {
                shape_of(&report)
            }));
        }
        if architecture && report.holds_programs() {
            let wrong = findings(&report, inspect::Gate::Architecture);
            if !wrong.is_empty() {
                hint = Some(
                    "find the package that brings it; if it belongs there, allow its path: \
                     foreign-allowed = [\"/opt/firmware/**\"] in [settings] (docs/gates.md)"
                        .to_owned(),
                );
            }
            refusals.extend(verdict(cx, GateChoice::Architecture, one, &wrong, || {
                programs_of(&report, cx.variant.arch)
            }));
        }
    }
    if refusals.is_empty() {
        return Ok(());
    }
    Err(StepResult::refused(refusals.join("; ")).hint_if(hint))
}

/// Emits the verdict on a file. Returns the reason of a refusal.
fn verdict(
    cx: &StepContext,
    gate: GateChoice,
    one: &InspectedFile,
    wrong: &[&str],
    good: impl FnOnce() -> String,
) -> Option<String> {
    let name = &one.unique_name;
    if wrong.is_empty() {
        emit(cx, gate, GateVerdict::Passed, format!("{name}: {}", good()));
        return None;
    }
    let why = format!("{name}: {}", wrong.join(", "));
    emit(cx, gate, GateVerdict::Refused, why.clone());
    Some(why)
}

fn findings(report: &Report, gate: inspect::Gate) -> Vec<&str> {
    report
        .findings
        .iter()
        .filter(|finding| finding.gate == gate)
        .map(|finding| finding.why.as_str())
        .collect()
}

/// Why a complete file is not of the format that its name or `format` promises; absent where it is.
fn other_format(cx: &StepContext, one: &InspectedFile, report: &Report) -> Option<String> {
    let mut artifacts = cx.variant.artifacts.iter();
    let format = artifacts
        .find(|artifact| artifact.unique_name == one.unique_name)?
        .format;
    if report.is(format) {
        return None;
    }
    let is = match report.what.as_str() {
        "" => "of no format that is known here",
        what => what,
    };
    let says = if format == Format::of_name(&one.deploy_name) {
        format!("the name {}", one.deploy_name)
    } else {
        format!("format = \"{format}\"")
    };
    Some(format!(
        "it is {is}, where {says} promises {}",
        format.described()
    ))
}

fn shape_of(report: &Report) -> String {
    let mut text = match report.what.as_str() {
        "" => "not inspected: of no format that is known here".to_owned(),
        what => format!("a whole {what}"),
    };
    if !report.unread.is_empty() {
        text = format!("{text}; not inspected: {}", report.unread.join(", "));
    }
    text
}

fn programs_of(report: &Report, arch: Arch) -> String {
    let count =
        |programs: u64, noun| numbers::count(usize::try_from(programs).unwrap_or(usize::MAX), noun);
    let own = match (report.programs, report.foreign_allowed) {
        (0, 0) => return "no programs".to_owned(),
        (own, _) => format!("{}, {}", count(own, "program"), arch.as_str()),
    };
    match report.foreign_allowed {
        0 => own,
        foreign => format!(
            "{own}; {} in allowed places",
            count(foreign, "foreign program")
        ),
    }
}

fn report(
    captured: &[InspectedFile],
    one: &InspectedFile,
    rules: &Rules,
) -> Result<Report, PathError> {
    let image = one
        .deploy_name
        .strip_suffix(".bmap")
        .and_then(|name| captured.iter().find(|image| image.deploy_name == name));
    let inspected = match image {
        Some(image) => inspect::inspect_bmap(&one.path, &image.path, rules),
        None => inspect::inspect(&one.path, rules),
    };
    inspected.map_err(PathError::on("inspect", Path::new(&one.path)))
}

/// The allowed paths: the built-in list and the user's.
fn foreign(own: &[String]) -> Result<GlobSet, StepResult> {
    let mut set = GlobSetBuilder::new();
    let globs = FOREIGN
        .iter()
        .copied()
        .chain(own.iter().map(String::as_str));
    for glob in globs {
        let glob = GlobBuilder::new(glob)
            .literal_separator(true)
            .empty_alternates(true)
            .build()
            .map_err(|error| StepResult::failed(format!("foreign-allowed: {error}")))?;
        set.add(glob);
    }
    set.build()
        .map_err(|error| StepResult::failed(format!("foreign-allowed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_programs_are_allowed_in_listed_paths_only() {
        let set = foreign(&["/opt/fw/**".to_owned()]).unwrap();
        for path in [
            "/lib/firmware/qcom/a/b.mbn",
            "/usr/lib/firmware/amdgpu.bin",
            "/usr/lib/grub/i386-pc/normal.mod",
            "/boot/grub/x86_64-efi/normal.mod",
            "/usr/lib/systemd/boot/efi/systemd-bootia32.efi",
            "/usr/lib/modules/6.1.0/vdso/vdso32.so",
            "/opt/fw/dsp.elf",
        ] {
            assert!(set.is_match(path), "{path}");
        }
        for path in [
            "/usr/bin/k3s",
            "/srv/usr/lib/firmware/x",
            "/usr/lib/modules/6.1.0/kernel/a.ko",
            "/opt/other/fw/x",
        ] {
            assert!(!set.is_match(path), "{path}");
        }
    }
}
