//! A product: a copy compressed by zstd.

use std::io::{self, Write as _};

use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

use crate::fs::PathError;
use crate::store::product::{Method, ProductInfo, ZST};
use crate::store::products::{Product, ProductJob, ProductMaker, ProductOutput};

/// Threads of zstd at most. Each has three jobs in memory, and tables that grow with the level.
fn most_threads(level: u8) -> u32 {
    match level {
        0..=5 => 4,
        6..=12 => 2,
        _ => 1,
    }
}

/// The job of a thread of zstd, in bytes.
const JOB: u32 = 1 << 20;

/// How far back zstd looks, as a power of two: what decompressing needs, whatever the level.
const WINDOW: u32 = 21;

/// The product: a compressed copy.
#[derive(Debug)]
pub(super) struct Zst;

impl Product for Zst {
    fn info(&self) -> &'static ProductInfo {
        &ZST
    }

    fn start(
        &self,
        output: ProductOutput,
        job: &ProductJob<'_>,
    ) -> Result<Box<dyn ProductMaker>, PathError> {
        let level = job.level.or(Method::of(&ZST).level).unwrap_or_default();
        let encoder = encoder(output, level, job.bytes, job.threads)
            .map_err(PathError::on("start zstd for", job.dest))?;
        Ok(Box::new(ZstdCopy(encoder)))
    }
}

/// A compressed copy that is being written.
struct ZstdCopy(Encoder<'static, ProductOutput>);

impl ProductMaker for ZstdCopy {
    fn hole(&mut self, zeros: &[u8]) -> Result<(), PathError> {
        self.data(zeros)
    }

    fn data(&mut self, data: &[u8]) -> Result<(), PathError> {
        let written = self.0.write_all(data);
        written.map_err(PathError::on("write", self.0.get_ref().part.path()))
    }

    fn finish(self: Box<Self>) -> Result<ProductOutput, PathError> {
        let part = self.0.get_ref().part.path().to_owned();
        self.0.finish().map_err(PathError::on("write", &part))
    }
}

/// Says the size and a checksum in the frame, as the program zstd does. There is always a thread: without
/// one, zstd compresses otherwise.
fn encoder(
    output: ProductOutput,
    level: u8,
    bytes: u64,
    threads: u32,
) -> io::Result<Encoder<'static, ProductOutput>> {
    let mut encoder = Encoder::new(output, level.into())?;
    encoder.set_pledged_src_size(Some(bytes))?;
    encoder.include_checksum(true)?;
    encoder.window_log(WINDOW)?;
    encoder.multithread(threads.clamp(1, most_threads(level)))?;
    encoder.set_parameter(CParameter::JobSize(JOB))?;
    Ok(encoder)
}
