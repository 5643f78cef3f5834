use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What an appender needs of a file.
pub(crate) trait Medium {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn set_len(&self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }
}

/// Appends frames to a file and keeps it ending with a whole one.
#[derive(Debug)]
pub(crate) struct Appender<M> {
    medium: M,
    /// Where the last whole frame ends.
    end: u64,
    /// Something may stand behind `end` that must go before the next write: a reader that saw half of a frame would else see
    /// that half continued by another.
    is_torn: bool,
}

/// An append that did not take everything.
#[derive(Debug)]
pub(crate) struct Short {
    /// Frames that are in the file.
    pub(crate) frames: usize,
    pub(crate) source: io::Error,
}

impl<M: Medium> Appender<M> {
    pub(crate) const fn new(medium: M, end: u64) -> Self {
        Self { medium, end, is_torn: false }
    }

    pub(crate) const fn medium(&self) -> &M {
        &self.medium
    }

    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Appends frames, given where each ends in the buffer: one write, unless the file takes them piecemeal. On an error whole frames
    /// stay, since a reader may have taken them already, and the rest of a broken one is cut.
    pub(crate) fn append(&mut self, frames: &[u8], ends: &[usize]) -> Result<(), Short> {
        if self.is_torn {
            self.medium.set_len(self.end).map_err(|source| Short { frames: 0, source })?;
            self.is_torn = false;
        }
        let mut done = 0;
        while let Some(rest) = frames.get(done..).filter(|rest| !rest.is_empty()) {
            match self.medium.write_at(rest, self.end.saturating_add(crate::segment::size(done))) {
                Ok(0) => return Err(self.cut(done, ends, io::ErrorKind::WriteZero.into())),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.cut(done, ends, error)),
            }
        }
        self.end = self.end.saturating_add(crate::segment::size(frames.len()));
        Ok(())
    }

    fn cut(&mut self, done: usize, ends: &[usize], source: io::Error) -> Short {
        let frames = ends.partition_point(|end| *end <= done);
        let whole = ends.get(..frames).and_then(<[usize]>::last).copied().unwrap_or(0);
        self.end = self.end.saturating_add(crate::segment::size(whole));
        self.is_torn = self.medium.set_len(self.end).is_err();
        Short { frames, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::{Cell, RefCell};

    /// A file on a disk with little room, which now and then can be neither written nor cut.
    struct Disk {
        bytes: RefCell<Vec<u8>>,
        room: Cell<usize>,
        may_cut: Cell<bool>,
    }

    impl Medium for &Disk {
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            let offset = usize::try_from(offset).unwrap();
            let mut file = self.bytes.borrow_mut();
            let taken = bytes.len().min(self.room.get().saturating_sub(offset));
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let length = file.len().max(offset + taken);
            file.resize(length, 0);
            file[offset..offset + taken].copy_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            if !self.may_cut.get() {
                return Err(io::ErrorKind::Other.into());
            }
            self.bytes.borrow_mut().truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn a_full_disk_leaves_whole_frames_and_later_appends_work(
            frame_bytes in 1..20_usize, turns in prop::collection::vec((1..6_usize, 0..200_usize, any::<bool>()), 1..30)
        ) {
            let disk = Disk { bytes: RefCell::default(), room: Cell::new(0), may_cut: Cell::new(true) };
            let mut appender = Appender::new(&disk, 0);
            let mut expected: Vec<u8> = Vec::new();
            let mut next = 0_u8;
            for (frames, room, may_cut) in turns {
                disk.room.set(room);
                disk.may_cut.set(may_cut);
                let buffer: Vec<u8> = (0..frames).flat_map(|frame| vec![next.wrapping_add(u8::try_from(frame).unwrap()); frame_bytes]).collect();
                let ends: Vec<usize> = (1..=frames).map(|frame| frame * frame_bytes).collect();
                let written = match appender.append(&buffer, &ends) {
                    Ok(()) => frames,
                    Err(short) => short.frames,
                };
                expected.extend_from_slice(&buffer[..written * frame_bytes]);
                next = next.wrapping_add(u8::try_from(frames).unwrap());
                prop_assert_eq!(&disk.bytes.borrow()[..expected.len()], &expected);
                prop_assert!(!may_cut || written == 0 || disk.bytes.borrow().len() == expected.len());
            }
            disk.room.set(usize::MAX);
            disk.may_cut.set(true);
            prop_assert!(appender.append(b"last", &[4]).is_ok());
            expected.extend_from_slice(b"last");
            prop_assert_eq!(&*disk.bytes.borrow(), &expected);
        }
    }
}
