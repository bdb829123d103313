//! The speed of hashing a file in the page cache, alone and together with its Nix archive. A processor that
//! hashes two messages at a time needs little longer for both (docs/performance.md). `cargo bench --bench
//! hashing`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::fs::File;
use std::io::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use isar_build_all::store::copy::hash;
use isar_build_all::store::hashing::Want;

const SIZE: usize = 256 * 1024 * 1024;

fn hashing(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let dense = dir.path().join("dense");
    let noise: Vec<u8> = (0..SIZE as u64)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    File::create(&dense).unwrap().write_all(&noise).unwrap();
    let hole = dir.path().join("hole");
    File::create(&hole).unwrap().set_len(SIZE as u64).unwrap();

    let mut group = criterion.benchmark_group("hashing");
    group.throughput(Throughput::Bytes(SIZE as u64));
    group.sample_size(10);
    for file in [&dense, &hole] {
        for (name, want) in [("flat", Want::Flat), ("both", Want::FlatAndNar)] {
            let of = file.file_name().unwrap().to_string_lossy();
            group.bench_function(format!("{of}/{name}"), |bencher| {
                bencher.iter(|| hash(file, want, &|| false).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, hashing);
criterion_main!(benches);
