//! SHA-256 of a stream of data and holes, of the bytes and of their Nix archive at once: in one thread
//! where the processor can take both messages at a time ([`pair`]), else in two. One thread hashes about
//! as fast as a disk image can be read from the page cache. Knows nothing of files. Memory is bounded by a
//! few chunks whatever is hashed.

mod pair;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use sha2::{Digest, Sha256};

use crate::store::chunk::{CHUNK, zeros};
use crate::store::hashing::pair::{Pair, PairCompressor};
use crate::store::nar;

/// Chunks that may wait for a hash: enough that none of the threads sleeps while there is a processor.
const WAITING: usize = 8;

/// Buffers in use at most: those that wait, the one that is hashed, the one that is filled, and one
/// that has just been let go but not yet dropped.
const BUFFERS: usize = WAITING + 3;

/// Which hashes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Of the bytes alone.
    Flat,
    /// Of the bytes, and of the Nix archive that holds them (what Nix's database knows).
    FlatAndNar,
    /// The same, where the file in the store is executable.
    FlatAndExecutableNar,
}

/// SHA-256 hashes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// Of its bytes.
    pub sha256: [u8; 32],
    /// Of the Nix archive that holds it, where it was wanted.
    pub nar_sha256: Option<[u8; 32]>,
}

#[derive(Clone)]
enum Piece {
    Data(Arc<Vec<u8>>, usize),
    Hole(u64),
}

/// The hashing threads of one file.
pub struct Hashing<'scope> {
    workers: Vec<SyncSender<Piece>>,
    sums: Threads<'scope>,
    buffers: Vec<Arc<Vec<u8>>>,
    next: usize,
}

type Thread<'scope, T> = ScopedJoinHandle<'scope, T>;

enum Threads<'scope> {
    Flat(Thread<'scope, [u8; 32]>),
    Both(Thread<'scope, [[u8; 32]; 2]>),
    Each([Thread<'scope, [u8; 32]>; 2]),
}

impl<'scope> Hashing<'scope> {
    /// Starts them for a file of `size` bytes.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(scope: &'scope Scope<'scope, '_>, want: Want, size: u64) -> io::Result<Self> {
        // Without optimisation each instruction is a call of a function.
        let both = PairCompressor::detect().filter(|_| !cfg!(debug_assertions));
        Self::start_with(scope, want, size, both)
    }

    fn start_with(
        scope: &'scope Scope<'scope, '_>,
        want: Want,
        size: u64,
        both: Option<PairCompressor>,
    ) -> io::Result<Self> {
        let mut workers = Vec::new();
        let executable = want == Want::FlatAndExecutableNar;
        let (before, after) = (nar::header(size, executable), nar::trailer(size));
        let flat = |pieces: &Receiver<Piece>| hash(pieces, &[], &[]);
        let sums = match (want, both) {
            (Want::Flat, _) => Threads::Flat(worker(scope, &mut workers, flat)?),
            (_, None) => Threads::Each([
                worker(scope, &mut workers, flat)?,
                worker(scope, &mut workers, move |pieces: &Receiver<Piece>| {
                    hash(pieces, &before, &after)
                })?,
            ]),
            (_, Some(both)) => {
                let hash = move |pieces: &Receiver<Piece>| {
                    let mut pair = Pair::new(both);
                    pair.second_only(&before);
                    for piece in pieces {
                        match piece {
                            Piece::Data(chunk, length) => pair.data(&chunk[..length]),
                            Piece::Hole(length) => pair.zeros(length),
                        }
                    }
                    pair.second_only(&after);
                    pair.finish()
                };
                Threads::Both(worker(scope, &mut workers, hash)?)
            }
        };
        Ok(Hashing {
            workers,
            sums,
            buffers: (0..BUFFERS).map(|_| Arc::new(vec![0; CHUNK])).collect(),
            next: 0,
        })
    }

    /// Hashes what `fill` puts at the start of a chunk; it answers how many bytes that is.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn data<E>(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let place = self.next;
        self.next = (place + 1) % BUFFERS;
        let buffer = &mut self.buffers[place];
        if Arc::get_mut(buffer).is_none() {
            // A thread that was interrupted still holds it: rare, and a fresh one costs little.
            *buffer = Arc::new(vec![0; CHUNK]);
        }
        let Some(space) = Arc::get_mut(buffer) else {
            return Ok(0);
        };
        let length = fill(space)?;
        let piece = Piece::Data(Arc::clone(buffer), length);
        self.send(piece);
        Ok(length)
    }

    /// Hashes `length` zeros.
    pub fn hole(&mut self, length: u64) {
        self.send(Piece::Hole(length));
    }

    fn send(&self, piece: Piece) {
        for worker in &self.workers {
            // It fails only when the thread panicked, which `finish` reports.
            let _ = worker.send(piece.clone());
        }
    }

    /// The hashes.
    ///
    /// # Errors
    /// When a thread panicked.
    pub fn finish(self) -> io::Result<Sums> {
        drop(self.workers);
        let (sha256, nar_sha256) = match self.sums {
            Threads::Flat(flat) => (join(flat)?, None),
            Threads::Both(both) => {
                let [flat, nar] = join(both)?;
                (flat, Some(nar))
            }
            Threads::Each([flat, nar]) => (join(flat)?, Some(join(nar)?)),
        };
        Ok(Sums { sha256, nar_sha256 })
    }
}

fn worker<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    workers: &mut Vec<SyncSender<Piece>>,
    hash: impl FnOnce(&Receiver<Piece>) -> T + Send + 'scope,
) -> io::Result<Thread<'scope, T>> {
    let (pieces, receiver) = sync_channel(WAITING);
    workers.push(pieces);
    Builder::new()
        .name("sha256".to_owned())
        .spawn_scoped(scope, move || hash(&receiver))
}

fn join<T>(thread: Thread<'_, T>) -> io::Result<T> {
    thread
        .join()
        .map_err(|_| io::Error::other("a hashing thread panicked"))
}

fn hash(pieces: &Receiver<Piece>, before: &[u8], after: &[u8]) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    sha256.update(before);
    for piece in pieces {
        match piece {
            Piece::Data(chunk, length) => sha256.update(&chunk[..length]),
            Piece::Hole(length) => zeros(length).for_each(|zeros| sha256.update(zeros)),
        }
    }
    sha256.update(after);
    sha256.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On every processor the sums are the same, in whichever threads.
    #[test]
    fn one_thread_and_two_say_the_same() {
        let sums = [None, PairCompressor::detect()].map(|both| {
            std::thread::scope(|scope| {
                let size = 3 * CHUNK as u64 + 100_007;
                let mut hashing = Hashing::start_with(scope, Want::FlatAndNar, size, both).unwrap();
                for (length, seed) in [(CHUNK, 1), (70_000, 2), (CHUNK, 3)] {
                    hashing
                        .data(|space| {
                            space[..length].fill(seed);
                            io::Result::Ok(length)
                        })
                        .unwrap();
                }
                hashing.hole(CHUNK as u64 + 30_007);
                hashing.finish().unwrap()
            })
        });
        assert_eq!(sums[0], sums[1]);
        assert!(sums[0].nar_sha256.is_some());
    }
}
