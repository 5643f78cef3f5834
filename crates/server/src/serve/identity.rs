use crate::runtime::SystemClock;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tandem_model::NodeId;

/// Why the node does not know who it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeIdError {
    #[error(
        "{path:?} cannot be read or written: {source}; let this user write the data directory, and free some space if it is full"
    )]
    Io { path: PathBuf, source: io::Error },
    #[error("{path:?} holds no node id; remove it, and the node gets a new one")]
    Malformed { path: PathBuf },
}

/// The id of this installation: made on the first start, kept in the data directory.
pub(super) fn node_id(data_dir: &Path) -> Result<NodeId, NodeIdError> {
    let path = data_dir.join("node.id");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| NodeIdError::Malformed { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = NodeId::new(SystemClock::utc(), random_bits());
            match fs::write(&path, format!("{id}\n")) {
                Ok(()) => Ok(id),
                Err(source) => {
                    // Half a file would be taken for damage at the next start.
                    let _ = fs::remove_file(&path);
                    Err(NodeIdError::Io { path, source })
                }
            }
        }
        Err(source) => Err(NodeIdError::Io { path, source }),
    }
}

/// The random bits of an id.
pub(super) fn random_bits() -> [u8; 10] {
    let mut bits = [0; 10];
    // The system's generator fails only where the system call is missing or forbidden; nothing is safe then.
    getrandom::fill(&mut bits).expect("the operating system gives random bytes");
    bits
}
