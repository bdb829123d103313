//! SHA-256 of two messages that share most of their bytes: a file, and the archive that frames it.

use sha2::block_api::compress256;

use crate::store::chunk::zeros;
#[cfg(target_arch = "x86_64")]
pub(super) use crate::store::hashing::sha_ni::ShaNi as PairCompressor;

/// The unit of SHA-256's compression function.
pub(super) type Block = [u8; BLOCK];

const BLOCK: usize = 64;

/// Compresses blocks of two messages at once. No value exists on this architecture.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Debug, Clone, Copy)]
pub(super) enum PairCompressor {}

#[cfg(not(target_arch = "x86_64"))]
impl PairCompressor {
    pub(super) fn detect() -> Option<PairCompressor> {
        None
    }

    fn blocks(self, _: [&mut [u32; 8]; 2], _: [&[Block]; 2]) {
        match self {}
    }

    fn zeros(self, _: [&mut [u32; 8]; 2], _: u64) {
        match self {}
    }
}

/// Two messages on their way.
pub(super) struct Pair {
    first: Message,
    second: Message,
    both: PairCompressor,
}

impl Pair {
    /// Two that are empty.
    pub(super) fn new(both: PairCompressor) -> Pair {
        Pair {
            first: Message::new(),
            second: Message::new(),
            both,
        }
    }

    /// Adds bytes to the second alone.
    pub(super) fn second_only(&mut self, bytes: &[u8]) {
        self.second.add(bytes);
    }

    /// Adds bytes to both.
    pub(super) fn data(&mut self, bytes: &[u8]) {
        let rests = [&mut self.first, &mut self.second].map(|message| {
            let (begin, rest) = bytes.split_at(message.wanting().min(bytes.len()));
            message.add(begin);
            rest
        });
        let blocks = rests.map(|rest| rest.as_chunks().0);
        let shared = blocks[0].len().min(blocks[1].len()) * BLOCK;
        self.both
            .blocks([&mut self.first.state, &mut self.second.state], blocks);
        for (message, rest) in [&mut self.first, &mut self.second].into_iter().zip(rests) {
            message.length += shared as u64;
            message.add(&rest[shared..]);
        }
    }

    /// Adds `length` zeros to both.
    pub(super) fn zeros(&mut self, length: u64) {
        let rests = [&mut self.first, &mut self.second].map(|message| {
            let begin = length.min(message.wanting() as u64);
            message.add_zeros(begin);
            length - begin
        });
        let blocks = rests[0].min(rests[1]) / BLOCK as u64;
        let shared = blocks * BLOCK as u64;
        self.both
            .zeros([&mut self.first.state, &mut self.second.state], blocks);
        for (message, rest) in [&mut self.first, &mut self.second].into_iter().zip(rests) {
            message.length += shared;
            message.add_zeros(rest - shared);
        }
    }

    /// Their hashes.
    pub(super) fn finish(self) -> [[u8; 32]; 2] {
        [self.first.finish(), self.second.finish()]
    }
}

struct Message {
    state: [u32; 8],
    /// The bytes of an incomplete block: the first `length % BLOCK` bytes of it.
    pending: Block,
    /// Its length up to here, in bytes.
    length: u64,
}

impl Message {
    fn new() -> Message {
        Message {
            state: START,
            pending: [0; BLOCK],
            length: 0,
        }
    }

    fn filled(&self) -> usize {
        // Below the size of a block, so the cast loses nothing.
        (self.length % BLOCK as u64) as usize
    }

    /// How many bytes make what is pending a whole block.
    fn wanting(&self) -> usize {
        (BLOCK - self.filled()) % BLOCK
    }

    fn add(&mut self, bytes: &[u8]) {
        let (begin, rest) = bytes.split_at(self.wanting().min(bytes.len()));
        let filled = self.filled();
        self.pending[filled..filled + begin.len()].copy_from_slice(begin);
        if !begin.is_empty() && filled + begin.len() == BLOCK {
            compress256(&mut self.state, &[self.pending]);
        }
        let (blocks, tail) = rest.as_chunks();
        compress256(&mut self.state, blocks);
        if !tail.is_empty() {
            self.pending[..tail.len()].copy_from_slice(tail);
        }
        self.length += bytes.len() as u64;
    }

    fn add_zeros(&mut self, length: u64) {
        zeros(length).for_each(|zeros| self.add(zeros));
    }

    /// Pads it: a bit, zeros, and its length in bits as the last eight bytes of a block.
    fn finish(mut self) -> [u8; 32] {
        let bits = self.length * 8;
        self.add(&[0x80]);
        self.add_zeros(((2 * BLOCK - 8 - self.filled()) % BLOCK) as u64);
        self.add(&bits.to_be_bytes());
        let mut out = [0; 32];
        for (bytes, word) in out.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

/// The state before the first block (FIPS 180-4, 5.3.3).
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// The bytes before the second message, and then pieces of bytes (each from its seed) and of zeros.
    fn messages() -> impl Strategy<Value = (usize, Vec<(bool, usize, u8)>)> {
        let length = prop_oneof![0..200_usize, Just(BLOCK), Just(4096), 0..20_000_usize];
        (
            0..200_usize,
            vec((any::<bool>(), length, any::<u8>()), 0..8),
        )
    }

    #[test]
    fn both_are_what_each_is_alone() {
        if PairCompressor::detect().is_none() {
            println!("skipped in part: this processor cannot compress two messages at once");
        }
        proptest!(|((before, pieces) in messages())| {
            let before = vec![0x5a; before];
            let mut alone = [Sha256::new(), Sha256::new()];
            alone[1].update(&before);
            let mut each = [Message::new(), Message::new()];
            each[1].add(&before);
            let mut pair = PairCompressor::detect().map(Pair::new);
            if let Some(pair) = &mut pair {
                pair.second_only(&before);
            }
            for (is_hole, length, seed) in pieces {
                let noise = |at: usize| (at.wrapping_mul(0x9e37_79b9) >> 16) as u8 ^ seed;
                let bytes: Vec<u8> = (0..length).map(|at| if is_hole { 0 } else { noise(at) }).collect();
                for one in &mut alone {
                    one.update(&bytes);
                }
                let length = length as u64;
                for message in &mut each {
                    if is_hole { message.add_zeros(length) } else { message.add(&bytes) }
                }
                match &mut pair {
                    Some(pair) if is_hole => pair.zeros(length),
                    Some(pair) => pair.data(&bytes),
                    None => {}
                }
            }
            let alone = alone.map(|one| <[u8; 32]>::from(one.finalize()));
            prop_assert_eq!(each.map(Message::finish), alone);
            if let Some(pair) = pair {
                prop_assert_eq!(pair.finish(), alone);
            }
        });
    }
}
