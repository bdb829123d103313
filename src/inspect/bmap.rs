//! Block maps: whether a map describes its image.
//!
//! Source: the comments that bmap-tools writes into every block map, and its documentation of the format,
//! version 2.0. Versions 1.x have other checksums or none; of these only the numbers are compared.

use std::io::{self, Read as _};
use std::ops::RangeInclusive;

use roxmltree::{Document, Node};
use sha2::{Digest as _, Sha256};

use crate::base::hex;
use crate::inspect::source::{Window, invalid};
use crate::inspect::zeros::first_data;

/// The longest block map in bytes: enough for 70,000 ranges.
const LONGEST: u64 = 8 << 20;

/// Bytes of the image read at once.
const CHUNK: usize = 256 * 1024;

/// Whether data begins like a block map.
pub(super) fn is_bmap(head: &[u8]) -> bool {
    // bmap-tools writes long comments first.
    let head = String::from_utf8_lossy(head);
    head.trim_start().starts_with('<') && head.contains("<bmap ")
}

struct BlockMap {
    image_size: u64,
    block_size: u64,
    blocks: u64,
    mapped: u64,
    /// Whether its checksums are SHA-256.
    sha256: bool,
    ranges: Vec<(RangeInclusive<u64>, Option<String>)>,
}

/// The differences between a block map and an image; empty if they match.
///
/// # Errors
/// When one of them cannot be read.
pub(super) fn compare(bmap: &mut Window, image: &Window) -> io::Result<Vec<String>> {
    let text = text(bmap)?;
    let map = parse(&text)?;
    let mut faults = Vec::new();
    if map.sha256 && !own_checksum_holds(&text) {
        faults.push("its own checksum is wrong".to_owned());
    }
    if map.image_size != image.len() {
        faults.push(format!(
            "it is of an image of {} bytes, and the image has {}",
            map.image_size,
            image.len()
        ));
        return Ok(faults);
    }
    let mapped: u64 = map
        .ranges
        .iter()
        .map(|(range, _)| range.end() - range.start() + 1)
        .sum();
    if map.blocks != image.len().div_ceil(map.block_size) || map.mapped != mapped {
        faults.push("its counts of blocks are not those of its ranges".to_owned());
    }
    let mut at = 0;
    for (range, checksum) in &map.ranges {
        let start = range.start() * map.block_size;
        let end = ((range.end() + 1) * map.block_size).min(image.len());
        unmapped(image, at, start, &mut faults)?;
        at = end;
        let blocks = format!("blocks {} to {}", range.start(), range.end());
        if let Some(checksum) = checksum.as_ref().filter(|_| map.sha256)
            && sha256(image, start, end)? != *checksum
        {
            faults.push(format!("{blocks} of the image have another checksum"));
            // One mismatch is enough: the map is of another image.
            return Ok(faults);
        }
    }
    unmapped(image, at, image.len(), &mut faults)?;
    Ok(faults)
}

/// Finds data outside of the mapped ranges, which flashing with the map would leave out.
fn unmapped(image: &Window, from: u64, to: u64, faults: &mut Vec<String>) -> io::Result<()> {
    if faults.is_empty()
        && let Some(place) = first_data(image, from..to)?
    {
        faults.push(format!(
            "the image has data at byte {place}, which it does not map"
        ));
    }
    Ok(())
}

fn text(bmap: &mut Window) -> io::Result<String> {
    if bmap.len() > LONGEST {
        return Err(invalid(format!("it has more than {LONGEST} bytes")));
    }
    let mut text = String::new();
    bmap.read_to_string(&mut text)?;
    Ok(text)
}

fn parse(text: &str) -> io::Result<BlockMap> {
    let document = Document::parse(text).map_err(|error| invalid(error.to_string()))?;
    let root = document.root_element();
    let child = |name: &str| root.children().find(|child| child.has_tag_name(name));
    let of = |name: &str| {
        child(name)
            .and_then(word)
            .and_then(|word| word.parse::<u64>().ok())
            .ok_or_else(|| invalid(format!("it has no {name}")))
    };
    let block_size = of("BlockSize")?;
    if !block_size.is_power_of_two() || !(512..=1 << 30).contains(&block_size) {
        return Err(invalid(format!("it has blocks of {block_size} bytes")));
    }
    let image_size = of("ImageSize")?;
    let last = image_size.div_ceil(block_size);
    let mut ranges: Vec<(RangeInclusive<u64>, Option<String>)> = Vec::new();
    let listed = child("BlockMap").ok_or_else(|| invalid("it has no BlockMap"))?;
    for node in listed.children().filter(|node| node.has_tag_name("Range")) {
        let range = word(node)
            .and_then(range)
            .filter(|range| range.start() <= range.end() && *range.end() < last)
            .ok_or_else(|| invalid("it has a range that is none, or is outside of the image"))?;
        if ranges
            .last()
            .is_some_and(|(before, _)| before.end() >= range.start())
        {
            return Err(invalid("its ranges are not in order"));
        }
        let checksum = node.attribute("chksum").map(str::to_ascii_lowercase);
        ranges.push((range, checksum));
    }
    Ok(BlockMap {
        image_size,
        block_size,
        blocks: of("BlocksCount")?,
        mapped: of("MappedBlocksCount")?,
        sha256: child("ChecksumType").and_then(word) == Some("sha256"),
        ranges,
    })
}

fn word<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.text().map(str::trim)
}

fn range(word: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

/// Whether the file's own checksum is right: that of its text with zeros in place of the checksum.
fn own_checksum_holds(text: &str) -> bool {
    let Some((before, rest)) = text.split_once("<BmapFileChecksum>") else {
        return false;
    };
    let Some((field, after)) = rest.split_once("</BmapFileChecksum>") else {
        return false;
    };
    let checksum = field.trim();
    let mut sha256 = Sha256::new();
    sha256.update(before);
    sha256.update("<BmapFileChecksum>");
    sha256.update(field.replace(checksum, &"0".repeat(checksum.len())));
    sha256.update("</BmapFileChecksum>");
    sha256.update(after);
    text_of(sha256) == checksum.to_ascii_lowercase()
}

fn sha256(image: &Window, mut at: u64, end: u64) -> io::Result<String> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    while at < end {
        let most = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
        let there = image.read_at(at, &mut buffer[..most])?;
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        sha256.update(&buffer[..there]);
        at += there as u64;
    }
    Ok(text_of(sha256))
}

fn text_of(sha256: Sha256) -> String {
    let sum: [u8; 32] = sha256.finalize().into();
    hex::encode(&sum)
}
