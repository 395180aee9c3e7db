//! The copy that a backup makes aside: a file without a name, in memory.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use super::Platter;

#[derive(Debug)]
pub(super) struct Copy {
    platter: Platter,
    bytes: Cursor<Vec<u8>>,
}

impl Copy {
    pub(super) fn made_on(platter: &Platter) -> io::Result<Self> {
        let copy = Self { platter: platter.clone(), bytes: Cursor::default() };
        copy.begin()?;
        Ok(copy)
    }

    /// Each of its operations may be refused.
    fn begin(&self) -> io::Result<()> {
        self.platter.with(|state| {
            let Some((left, cause)) = &mut state.copies else { return Ok(()) };
            if *left > 0 {
                *left -= 1;
                return Ok(());
            }
            let error = cause.error();
            state.copies = None;
            state.spoiled_copies += 1;
            Err(error)
        })
    }
}

impl Read for Copy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.begin()?;
        self.bytes.read(buffer)
    }
}

impl Write for Copy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.begin()
    }
}

impl Seek for Copy {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.begin()?;
        self.bytes.seek(to)
    }
}
