//! A disk that can be filled.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory, mounted as long as this lives.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one at `path`, which is made where it is missing.
    ///
    /// # Panics
    /// When it cannot: only root mounts.
    #[must_use]
    pub fn mount(path: PathBuf, bytes: u32) -> Self {
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(&path).output();
        let mounted = mounted.expect("mount is part of every Debian");
        let complaint = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "this test mounts a small file system, which needs root: {complaint}");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes so many bytes of it.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn fill(&self, bytes: usize) {
        std::fs::write(self.path().join("filled"), vec![0; bytes]).expect("the disk has room for this");
    }

    /// Takes all that is left of it.
    ///
    /// # Panics
    /// When it cannot be written for another reason.
    pub fn fill_up(&self) {
        let mut file = File::create(self.path().join("filled-up")).expect("the disk has a page left");
        loop {
            match file.write(&[0; PAGE_BYTES]) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{}: {error}", self.0.display()),
            }
        }
    }

    /// Gives back what was taken.
    pub fn free(&self) {
        for name in ["filled", "filled-up"] {
            // Perhaps only one of them was.
            drop(std::fs::remove_file(self.path().join(name)));
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that failed may still close its files.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Less at once would leave no room either: memory is given in pages.
const PAGE_BYTES: usize = 4_096;
