//! Bounded reading: a window of a file, a stream with look-ahead, and the budget that both spend.
//!
//! Reading ends for any content: every read spends from a budget that follows from the file's true size, and
//! every read checks the stop predicate. So a reader of a format may follow a chain of blocks that forms a
//! loop; it gets an error in the end.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Called at each read; true ends the inspection.
pub type StopCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// The least cost of a read in bytes, so that a loop of tiny reads ends, too.
const LEAST: u64 = 256;

/// The budget of a file, as a multiple of its size: directories and tables are read again for every file that
/// is looked up in them.
const MULTIPLE: u64 = 64;

/// The least budget of a file, in bytes.
const ANY: u64 = 1 << 30;

/// The most bytes that compressed data may unpack to.
const UNPACKED: u64 = 64 << 30;

/// The bytes that may still be read.
#[derive(Clone)]
pub(super) struct Budget {
    stop: StopCheck,
    left: Arc<AtomicU64>,
}

impl Budget {
    /// The budget of a file of this size.
    pub(super) fn of(bytes: u64, stop: StopCheck) -> Budget {
        Budget::new(bytes.saturating_mul(MULTIPLE).saturating_add(ANY), stop)
    }

    /// The budget of the unpacked content of a compressed file.
    pub(super) fn unpacked(&self) -> Budget {
        Budget::new(UNPACKED, Arc::clone(&self.stop))
    }

    fn new(left: u64, stop: StopCheck) -> Budget {
        Budget {
            stop,
            left: Arc::new(AtomicU64::new(left)),
        }
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        if (self.stop)() {
            return Err(io::Error::other("stopped"));
        }
        let bytes = (bytes as u64).max(LEAST);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .map(drop)
            .map_err(|_| invalid("it takes more reading than anything sound of its size"))
    }
}

/// The error for content that violates its format.
pub(super) fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// A part of a file.
#[derive(Clone)]
pub(super) struct Window {
    file: Arc<File>,
    start: u64,
    len: u64,
    at: u64,
    pub(super) budget: Budget,
}

impl Window {
    /// The whole file.
    pub(super) fn whole(file: File, stop: StopCheck) -> io::Result<Window> {
        let len = file.metadata()?.len();
        Ok(Window {
            file: Arc::new(file),
            start: 0,
            len,
            at: 0,
            budget: Budget::of(len, stop),
        })
    }

    /// A part of the window, clamped to it.
    pub(super) fn part(&self, start: u64, len: u64) -> Window {
        let start = start.min(self.len);
        Window {
            start: self.start + start,
            len: len.min(self.len - start),
            at: 0,
            ..self.clone()
        }
    }

    /// Its size in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The file of the window.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Reads at a position; fewer bytes than requested only at the end.
    pub(super) fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(most);
        self.budget.spend(wanted)?;
        let mut done = 0;
        while done < wanted {
            let place = self.start + at + done as u64;
            match self.file.read_at(&mut buffer[done..wanted], place) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Reads `N` bytes at a position.
    pub(super) fn bytes_at<const N: usize>(&self, at: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        match self.read_at(at, &mut bytes)? {
            all if all == N => Ok(bytes),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The first bytes, at most `most`.
    pub(super) fn head(&self, most: usize) -> io::Result<Vec<u8>> {
        let mut head = vec![0; most];
        let there = self.read_at(0, &mut head)?;
        head.truncate(there);
        Ok(head)
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let done = self.read_at(self.at, buffer)?;
        self.at += done as u64;
        Ok(done)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.at = place.ok_or_else(|| invalid("a place before its begin"))?;
        Ok(self.at)
    }
}

/// Size of a stream's buffer in bytes, and thereby of its look-ahead.
const BUFFER: usize = 64 * 1024;

/// A stream with look-ahead.
pub(super) struct Stream<'a> {
    inner: Box<dyn Read + 'a>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    pub(super) budget: Budget,
}

impl<'a> Stream<'a> {
    /// A stream over `inner`; each read spends from `budget`.
    pub(super) fn new(inner: impl Read + 'a, budget: Budget) -> Stream<'a> {
        Stream {
            inner: Box::new(inner),
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            budget,
        }
    }

    /// The next bytes without consuming them: `wanted` of them, fewer at the end.
    pub(super) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(BUFFER);
        if self.end - self.start < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < wanted {
                match self.more()? {
                    0 => break,
                    more => self.end += more,
                }
            }
        }
        let there = wanted.min(self.end - self.start);
        Ok(&self.buffer[self.start..self.start + there])
    }

    fn more(&mut self) -> io::Result<usize> {
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(more) => {
                    self.budget.spend(more)?;
                    return Ok(more);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Consumes this number of bytes.
    pub(super) fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            let there = self.fill_buf()?.len();
            if there == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = usize::try_from(bytes).map_or(there, |bytes| bytes.min(there));
            self.consume(step);
            bytes -= step as u64;
        }
        Ok(())
    }

    /// Consumes zero bytes. Returns whether another byte follows.
    pub(super) fn skip_zeros(&mut self) -> io::Result<bool> {
        loop {
            let buffer = self.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            let zeros = buffer.iter().take_while(|&&byte| byte == 0).count();
            let all = zeros == buffer.len();
            self.consume(zeros);
            if !all {
                return Ok(true);
            }
        }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let done = there.len().min(buffer.len());
        buffer[..done].copy_from_slice(&there[..done]);
        self.consume(done);
        Ok(done)
    }
}

impl BufRead for Stream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.end = self.more()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.start = self.end.min(self.start + bytes);
    }
}
