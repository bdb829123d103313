//! SHA-256 of a stream of data and holes, of the bytes and of their Nix archive at once, each in a
//! thread of its own: one thread hashes about as fast as a disk image can be read from the page cache.
//! Knows nothing of files. Memory is bounded by a few chunks whatever is hashed.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use sha2::{Digest, Sha256};

use crate::model::nar;

/// Size of the chunks in which data goes round. Smaller ones cost a change of threads too often.
pub const CHUNK: usize = 512 * 1024;

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
    flat: Worker<'scope>,
    nar: Option<Worker<'scope>>,
    buffers: Vec<Arc<Vec<u8>>>,
    next: usize,
}

struct Worker<'scope> {
    pieces: SyncSender<Piece>,
    thread: ScopedJoinHandle<'scope, [u8; 32]>,
}

impl<'scope> Hashing<'scope> {
    /// Starts them for a file of `size` bytes.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(scope: &'scope Scope<'scope, '_>, want: Want, size: u64) -> io::Result<Self> {
        let nar = match want {
            Want::Flat => None,
            Want::FlatAndNar => Some(Worker::start(scope, nar::header(size), nar::trailer(size))?),
        };
        Ok(Hashing {
            flat: Worker::start(scope, Vec::new(), Vec::new())?,
            nar,
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
        if let Some(nar) = &self.nar {
            nar.send(piece.clone());
        }
        self.flat.send(piece);
    }

    /// The hashes.
    ///
    /// # Errors
    /// When a thread panicked.
    pub fn finish(self) -> io::Result<Sums> {
        Ok(Sums {
            sha256: self.flat.finish()?,
            nar_sha256: self.nar.map(Worker::finish).transpose()?,
        })
    }
}

impl<'scope> Worker<'scope> {
    fn start(
        scope: &'scope Scope<'scope, '_>,
        before: Vec<u8>,
        after: Vec<u8>,
    ) -> io::Result<Self> {
        let (pieces, receiver) = sync_channel(WAITING);
        let thread = Builder::new()
            .name("sha256".to_owned())
            .spawn_scoped(scope, move || hash(&receiver, &before, &after))?;
        Ok(Worker { pieces, thread })
    }

    fn send(&self, piece: Piece) {
        // It fails only when the thread panicked, which `finish` reports.
        let _ = self.pieces.send(piece);
    }

    fn finish(self) -> io::Result<[u8; 32]> {
        drop(self.pieces);
        self.thread
            .join()
            .map_err(|_| io::Error::other("a hashing thread panicked"))
    }
}

pub(super) static ZEROS: [u8; CHUNK] = [0; CHUNK];

fn hash(pieces: &Receiver<Piece>, before: &[u8], after: &[u8]) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    sha256.update(before);
    for piece in pieces {
        match piece {
            Piece::Data(chunk, length) => sha256.update(&chunk[..length]),
            Piece::Hole(mut length) => {
                while length > 0 {
                    let zeros = usize::try_from(length).map_or(CHUNK, |all| all.min(CHUNK));
                    sha256.update(&ZEROS[..zeros]);
                    length -= zeros as u64;
                }
            }
        }
    }
    sha256.update(after);
    sha256.finalize().into()
}
