//! The parts of planning, at 100, 1,000 and 10,000 variants: the matrix from its text, the input key, and the
//! walk of the ready set. `cargo bench --bench model` runs all; an argument selects benchmarks by name.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use isar_build_all::base::arch::Arch;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::inputs::key::{Inputs, KasProgram, digest};
use isar_build_all::matrix::VariantKey;
use isar_build_all::matrix::parse::{ParseOptions, ParsedMatrix, parse};
use isar_build_all::plan::order::longest_first;
use isar_build_all::plan::ready::ReadySet;
use isar_build_all::plan::resource_need::{BuildCapacity, ResourceNeed};
use isar_build_all::plan::skip::Skips;
use isar_build_all::plan::{Expected, Plan, Resources, Scope};
use isar_build_all::steps::{self, build, capture, register};

const SIZES: [usize; 3] = [100, 1_000, 10_000];

/// A file with `count` variants of one machine, with one artifact each.
fn text(count: usize) -> String {
    let numbers: Vec<String> = (0..count).map(|number| format!("\"{number}\"")).collect();
    let numbers = numbers.join(", ");
    format!(
        r#"schema = 1
[axes]
number = [{numbers}]
[naming]
id = "{{number}}"
unique_name = "isar-{{id}}-{{machine}}{{extension}}"
deploy_name = "image-{{machine}}{{extension}}"
attr_path = ["{{machine}}", "{{number}}"]
[artifacts]
wic = {{ extension = ".wic", attr = "wic" }}
[machines.qemuamd64]
arch = "amd64"
kas = "kas/qemuamd64.yml"
artifacts = ["wic"]
[kas]
chain = ["kas/base.yml", "{{machine.kas}}"]
[[variants]]
machine = "qemuamd64"
number = [{numbers}]
"#
    )
}

fn matrix(text: &str) -> ParsedMatrix {
    let reading = parse(text, &ParseOptions::default());
    assert!(reading.faults.is_empty(), "{:?}", reading.faults);
    reading
}

fn plan(count: usize) -> Plan {
    let matrix = matrix(&text(count)).matrix.unwrap();
    let number = |index: usize| u64::try_from(index).unwrap();
    let resources = Resources {
        builds: 16,
        captures: 4,
        build_dirs: (0..count).map(|index| format!("d{index}")).collect(),
        capacity: Some(BuildCapacity {
            cpu: 800,
            memory: Some(16 << 10),
        }),
        needs: (0..count)
            .map(|index| ResourceNeed {
                cpu: 50 + 25 * u32::try_from(index % 3).unwrap(),
                memory: 256 * (1 + u32::try_from(index % 12).unwrap()),
            })
            .collect(),
        expected: (0..count)
            .map(|index| {
                Expected::default()
                    .with(build::INFO.kind, 60_000 + number(index) * 7_919 % 300_000)
                    .with(capture::INFO.kind, 3_000)
                    .with(register::INFO.kind, 5_000)
            })
            .collect(),
        ..Resources::default()
    };
    let mut plan = Plan::new(&steps::infos(), matrix.variants, Scope::Full, &resources);
    plan.order = longest_first(&plan, &Skips::none());
    plan
}

/// The inputs of 30 kas files, a dozen layers and as many variables.
fn inputs() -> Inputs {
    let pairs = |what: &str, count: usize| -> Vec<(String, String)> {
        (0..count)
            .map(|number| (format!("{what}/{number}"), format!("{number:064x}")))
            .collect()
    };
    Inputs {
        variant: VariantKey {
            machine: "qemuamd64".to_owned(),
            id: "base".to_owned(),
        },
        arch: Arch::Amd64,
        host: Some(Arch::Amd64),
        chain: vec!["kas/base.yml".to_owned(), "kas/qemuamd64.yml".to_owned()],
        kas_files: pairs("kas", 30),
        repositories: pairs("repository", 4),
        includes: pairs("include", 10),
        layers: pairs("layer", 12),
        patches: pairs("patch", 3),
        further: Vec::new(),
        variables: pairs("variable", 12),
        settings: pairs("setting", 6),
        program: KasProgram {
            name: "kas-container".to_owned(),
            content: "88".to_owned(),
            version: Some("5.5".to_owned()),
            image: None,
        },
        artifacts: Vec::new(),
    }
}

/// Starts and ends one node after the other, the oldest first, until all have ended.
fn walk(plan: &Plan) -> usize {
    let mut ready = ReadySet::new(plan);
    let mut running = std::collections::VecDeque::new();
    let mut ended = 0;
    loop {
        while let Some(node) = ready.take_next() {
            running.push_back(node);
        }
        let Some(node) = running.pop_front() else {
            return ended;
        };
        ready.finish(node, Outcome::Succeeded);
        ended += 1;
    }
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expansion");
    for size in SIZES {
        let text = text(size);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &text, |bencher, text| {
            bencher.iter(|| black_box(matrix(text)));
        });
    }
    group.finish();

    let inputs = inputs();
    let mut group = criterion.benchmark_group("key");
    for size in SIZES {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(size),
            &size,
            |bencher, &size| {
                bencher
                    .iter(|| (0..size).for_each(|_| drop(black_box(digest(black_box(&inputs))))));
            },
        );
    }
    group.finish();

    let mut group = criterion.benchmark_group("ready_set");
    for size in SIZES {
        let plan = plan(size);
        group.throughput(Throughput::Elements(plan.nodes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &plan, |bencher, plan| {
            bencher.iter(|| assert_eq!(walk(plan), plan.nodes.len()));
        });
    }
    group.finish();
}

criterion_group! {
    name = model;
    config = Criterion::default().sample_size(20);
    targets = benches
}
criterion_main!(model);
