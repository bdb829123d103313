//! The compression function of SHA-256 for two messages at once, on the SHA instructions of x86-64.
//!
//! Each step of one message waits for the step before, which leaves the processor's SHA unit idle half of the
//! time. The steps of a second message between them fill it: both take 1.07 times as long as one alone, and
//! blocks of zeros, whose message schedule is zeros, as long as one (AMD Zen 4). No crate does that with
//! messages that come in pieces.
//!
//! Source: FIPS 180-4, sections 4.1.2, 4.2.2 and 6.2.2; Intel, "New Instructions Supporting the Secure Hash Algorithm on
//! Intel Architecture Processors" (2013), for the order of the words in the two halves of a state.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use crate::store::hashing::pair::Block;

/// That this processor has the instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShaNi(());

impl ShaNi {
    /// Whether it has.
    pub(super) fn detect() -> Option<ShaNi> {
        let has = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        has.then_some(ShaNi(()))
    }

    /// Compresses the blocks of two messages into their states; as many of each as both have.
    pub(super) fn blocks(self, states: [&mut [u32; 8]; 2], messages: [&[Block]; 2]) {
        let [first, second] = messages;
        // SAFETY: `detect` has seen every feature that the function needs.
        #[allow(unsafe_code)]
        unsafe {
            compress(states, first.iter().zip(second));
        }
    }

    /// Compresses that many blocks of zeros into both.
    pub(super) fn zeros(self, states: [&mut [u32; 8]; 2], blocks: u64) {
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            compress_zeros(states, blocks);
        }
    }
}

/// The words A, B, E and F of a state, and C, D, G and H, the first in the highest place.
#[derive(Clone, Copy)]
struct State {
    abef: __m128i,
    cdgh: __m128i,
}

/// Functions that need the instructions; they call each other without further ado.
macro_rules! with_sha {
    ($($function:item)*) => {
        $(
            #[inline]
            #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
            $function
        )*
    };
}

with_sha! {
    fn compress<'a>(
        [first, second]: [&mut [u32; 8]; 2],
        blocks: impl Iterator<Item = (&'a Block, &'a Block)>,
    ) {
        let mut states = [load(first), load(second)];
        for (one, other) in blocks {
            let before = states;
            let (mut ring, mut ring_2) = (message(one), message(other));
            for (at, (word, word_2)) in ring.into_iter().zip(ring_2).enumerate() {
                four_rounds(&mut states, at, [word, word_2]);
            }
            for turn in 1..4 {
                for at in 0..4 {
                    ring[at] = schedule(&ring, at);
                    ring_2[at] = schedule(&ring_2, at);
                    four_rounds(&mut states, 4 * turn + at, [ring[at], ring_2[at]]);
                }
            }
            add(&mut states, before);
        }
        *first = store(states[0]);
        *second = store(states[1]);
    }

    fn compress_zeros([first, second]: [&mut [u32; 8]; 2], blocks: u64) {
        let mut states = [load(first), load(second)];
        for _ in 0..blocks {
            let before = states;
            for at in 0..16 {
                four_rounds(&mut states, at, [_mm_setzero_si128(); 2]);
            }
            add(&mut states, before);
        }
        *first = store(states[0]);
        *second = store(states[1]);
    }

    /// Four rounds of both, in turns; `at` counts fours of rounds.
    fn four_rounds(states: &mut [State; 2], at: usize, words: [__m128i; 2]) {
        let [a, b, c, d] = ROUNDS[at].map(u32::cast_signed);
        let constants = _mm_set_epi32(d, c, b, a);
        let words = [_mm_add_epi32(words[0], constants), _mm_add_epi32(words[1], constants)];
        for (state, word) in states.iter_mut().zip(words) {
            state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, word);
        }
        for (state, word) in states.iter_mut().zip(words) {
            // The instruction takes two words; these are the upper two.
            let word = _mm_shuffle_epi32::<0b_00_00_11_10>(word);
            state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, word);
        }
    }

    /// The four words of the message schedule that take the place of the oldest of sixteen, which is `at`.
    fn schedule(ring: &[__m128i; 4], at: usize) -> __m128i {
        let [a, b, c, d] = [0, 1, 2, 3].map(|step| ring[(at + step) % 4]);
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8::<4>(d, c));
        _mm_sha256msg2_epu32(sum, d)
    }

    fn add(states: &mut [State; 2], before: [State; 2]) {
        for (state, before) in states.iter_mut().zip(before) {
            state.abef = _mm_add_epi32(state.abef, before.abef);
            state.cdgh = _mm_add_epi32(state.cdgh, before.cdgh);
        }
    }

    /// A block's sixteen words, which are big endian.
    fn message(block: &Block) -> [__m128i; 4] {
        let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let (halves, _) = block.as_chunks::<8>();
        let half = |at: usize| i64::from_le_bytes(halves[at]);
        let mut words = [_mm_setzero_si128(); 4];
        for (at, four) in words.iter_mut().enumerate() {
            *four = _mm_shuffle_epi8(_mm_set_epi64x(half(2 * at + 1), half(2 * at)), order);
        }
        words
    }

    fn load(state: &[u32; 8]) -> State {
        let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
        State {
            abef: _mm_set_epi32(a, b, e, f),
            cdgh: _mm_set_epi32(c, d, g, h),
        }
    }

    fn store(State { abef, cdgh }: State) -> [u32; 8] {
        [
            _mm_extract_epi32::<3>(abef),
            _mm_extract_epi32::<2>(abef),
            _mm_extract_epi32::<3>(cdgh),
            _mm_extract_epi32::<2>(cdgh),
            _mm_extract_epi32::<1>(abef),
            _mm_extract_epi32::<0>(abef),
            _mm_extract_epi32::<1>(cdgh),
            _mm_extract_epi32::<0>(cdgh),
        ]
        .map(i32::cast_unsigned)
    }
}

/// The constants of the 64 rounds.
const ROUNDS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];
