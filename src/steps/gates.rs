//! The gates on what was captured: Architecture and Size-and-shape. Knows nothing of stores; how a file
//! is read is [`crate::inspect`]'s.
//!
//! Blocking. Every gate says what it found as an event, and everything that is wrong with a variant is
//! said at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::capture::{fail, killed};
use super::{StepContext, StepResult};
use crate::files::PathError;
use crate::inspect::{self, Report, Rules};
use crate::model::event::{EventKind, Verdict};
use crate::model::format::Format;
use crate::settings::Gate;
use crate::store::Captured;

/// Where programs for other machines belong in any image: what firmware, boot loaders and co-processors
/// run. docs/gates.md says why for each.
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

/// A file that the gates look into, where it lies.
pub(super) struct Subject {
    pub(super) kind: String,
    pub(super) unique_name: String,
    pub(super) deploy_name: String,
    pub(super) path: PathBuf,
}

impl From<&Captured> for Subject {
    fn from(captured: &Captured) -> Subject {
        Subject {
            kind: captured.kind.clone(),
            unique_name: captured.unique_name.clone(),
            deploy_name: captured.deploy_name.clone(),
            path: captured.path.clone(),
        }
    }
}

/// Runs the gates on the files of the variant.
pub(super) fn check(ctx: &StepContext, captured: &[Subject]) -> Result<(), StepResult> {
    let open = |gate| !skipped(ctx, gate);
    let (architecture, shape) = (open(Gate::Architecture), open(Gate::Shape));
    for gate in [Gate::Architecture, Gate::Shape] {
        if skipped(ctx, gate) {
            warn_skipped(ctx, gate);
        }
    }
    if !architecture && !shape {
        return Ok(());
    }
    let rules = Rules {
        arch: ctx.variant.arch,
        foreign: foreign(&ctx.settings.foreign_allowed.value)?,
        stop: Arc::new(killed(ctx)),
    };
    let mut refusals = Vec::new();
    let mut hint = None;
    for one in captured {
        let report = report(captured, one, &rules).map_err(|error| fail(&error, error.hint()))?;
        if (rules.stop)() {
            return Err(StepResult::cancelled());
        }
        if shape {
            let mut wrong = of(&report, inspect::Gate::Shape);
            let other = if wrong.is_empty() {
                of_another_format(ctx, one, &report)
            } else {
                hint.get_or_insert(format!(
                    "it is not registered; build it again: isar-build-all --variant {}",
                    ctx.variant.key
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
            refusals.extend(say(ctx, Gate::Shape, one, &wrong, || of_shape(&report)));
        }
        if architecture && report.holds_programs() {
            let wrong = of(&report, inspect::Gate::Architecture);
            if !wrong.is_empty() {
                hint = Some(
                    "find the package that brings it; if it belongs there, allow its path: \
                     foreign-allowed = [\"/opt/firmware/**\"] in [settings] (docs/gates.md)"
                        .to_owned(),
                );
            }
            refusals.extend(say(ctx, Gate::Architecture, one, &wrong, || {
                of_programs(&report)
            }));
        }
    }
    if refusals.is_empty() {
        return Ok(());
    }
    let mut refused = StepResult::refused(refusals.join("; "));
    refused.hint = hint;
    Err(refused)
}

/// Whether the settings leave a gate open.
pub(super) fn skipped(ctx: &StepContext, gate: Gate) -> bool {
    ctx.settings.skip_gates.value.contains(&gate)
}

/// Says loudly that a gate is left open.
pub(super) fn warn_skipped(ctx: &StepContext, gate: Gate) {
    ctx.events.warn(
        Some(&ctx.node),
        format!(
            "the gate `{0}` is left open (skip-gates): {1} is registered without its proof",
            gate.as_str(),
            ctx.variant.key
        ),
        Some("remove it from skip-gates; isar-build-all config shows where that is set".to_owned()),
    );
}

/// Emits what a gate answered.
pub(super) fn emit(ctx: &StepContext, gate: Gate, verdict: Verdict, why: String) {
    ctx.events.emit(EventKind::Gate {
        node: ctx.node.clone(),
        name: gate.as_str().to_owned(),
        verdict,
        why,
    });
}

fn say(
    ctx: &StepContext,
    gate: Gate,
    one: &Subject,
    wrong: &[&str],
    good: impl FnOnce() -> String,
) -> Option<String> {
    let name = &one.unique_name;
    if wrong.is_empty() {
        emit(ctx, gate, Verdict::Passed, format!("{name}: {}", good()));
        return None;
    }
    let why = format!("{name}: {}", wrong.join(", "));
    emit(ctx, gate, Verdict::Refused, why.clone());
    Some(why)
}

fn of(report: &Report, gate: inspect::Gate) -> Vec<&str> {
    report
        .findings
        .iter()
        .filter(|finding| finding.gate == gate)
        .map(|finding| finding.why.as_str())
        .collect()
}

/// Says that a whole file is not what its name or `format` promises.
fn of_another_format(ctx: &StepContext, one: &Subject, report: &Report) -> Option<String> {
    let mut artifacts = ctx.variant.artifacts.iter();
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

fn of_shape(report: &Report) -> String {
    let mut text = match report.what.as_str() {
        "" => "not inspected: of no format that is known here".to_owned(),
        what => format!("a whole {what}"),
    };
    if !report.unread.is_empty() {
        text = format!("{text}; not inspected: {}", report.unread.join(", "));
    }
    text
}

fn of_programs(report: &Report) -> String {
    match (report.programs, report.foreign_allowed) {
        (0, 0) => "no programs in it".to_owned(),
        (ours, 0) => format!("{ours} programs for the machine"),
        (ours, theirs) => {
            format!("{ours} programs for the machine, {theirs} foreign ones where they belong")
        }
    }
}

fn report(captured: &[Subject], one: &Subject, rules: &Rules) -> Result<Report, PathError> {
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

/// The built-in list and the user's.
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
    fn foreign_programs_belong_where_the_list_says_and_nowhere_else() {
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
