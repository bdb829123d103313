//! A product: a block map for bmaptool.

use std::io::Write as _;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::base::hex;
use crate::fs::PathError;
use crate::store::product::{BMAP, ProductInfo};
use crate::store::products::{BLOCK, Product, ProductJob, ProductMaker, ProductOutput};

/// The product: a block map.
#[derive(Debug)]
pub(super) struct Bmap;

impl Product for Bmap {
    fn info(&self) -> &'static ProductInfo {
        &BMAP
    }

    fn start(
        &self,
        output: ProductOutput,
        job: &ProductJob<'_>,
    ) -> Result<Box<dyn ProductMaker>, PathError> {
        Ok(Box::new(BmapCopy::new(output, job.bytes)))
    }
}

/// A block map, of format version 2.0: what bmap-tools says in the comments of those that it writes.
struct BmapCopy {
    output: ProductOutput,
    /// The image's size in bytes.
    image: u64,
    /// Blocks with data, and the SHA-256 of their bytes.
    ranges: Vec<(Range<u64>, [u8; 32])>,
    /// That of the range that is read.
    range: Sha256,
}

impl BmapCopy {
    /// The map of an image of `bytes` bytes.
    fn new(output: ProductOutput, bytes: u64) -> BmapCopy {
        BmapCopy {
            output,
            image: bytes,
            ranges: Vec::new(),
            range: Sha256::new(),
        }
    }

    fn text(&self) -> String {
        let mapped: u64 = self
            .ranges
            .iter()
            .map(|(blocks, _)| blocks.end - blocks.start)
            .sum();
        let mut ranges = String::new();
        for (blocks, sha256) in &self.ranges {
            let last = blocks.end - 1;
            let numbers = if blocks.start == last {
                last.to_string()
            } else {
                format!("{}-{last}", blocks.start)
            };
            let sha256 = hex::encode(sha256);
            ranges += &format!("        <Range chksum=\"{sha256}\"> {numbers} </Range>\n");
        }
        let text = |checksum: &str| {
            format!(
                "<?xml version=\"1.0\" ?>\n\
                 <!-- A block map for bmaptool: which blocks of the image have data. -->\n\
                 <bmap version=\"2.0\">\n    \
                 <ImageSize> {image} </ImageSize>\n    \
                 <BlockSize> {BLOCK} </BlockSize>\n    \
                 <BlocksCount> {blocks} </BlocksCount>\n    \
                 <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
                 <ChecksumType> sha256 </ChecksumType>\n    \
                 <BmapFileChecksum> {checksum} </BmapFileChecksum>\n    \
                 <BlockMap>\n\
                 {ranges}    </BlockMap>\n\
                 </bmap>\n",
                image = self.image,
                blocks = self.image.div_ceil(BLOCK),
            )
        };
        // Its own checksum is that of the text with zeros in the checksum's place.
        let checksum: [u8; 32] = Sha256::digest(text(&"0".repeat(64))).into();
        text(&hex::encode(&checksum))
    }
}

impl ProductMaker for BmapCopy {
    fn hole(&mut self, _: &[u8]) -> Result<(), PathError> {
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), PathError> {
        self.range.update(data);
        Ok(())
    }

    fn end_of(&mut self, range: &Range<u64>) {
        if !range.is_empty() {
            let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
            let sha256 = std::mem::take(&mut self.range).finalize().into();
            self.ranges.push((blocks, sha256));
        }
    }

    fn finish(self: Box<Self>) -> Result<ProductOutput, PathError> {
        let text = self.text();
        let mut output = self.output;
        output
            .write_all(text.as_bytes())
            .map_err(PathError::on("write", output.part.path()))?;
        Ok(output)
    }
}
