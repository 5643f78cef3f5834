use std::fmt;
use tandem_netio::IoPath;

/// How media packets shall come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaIo {
    /// The cheapest way that works on this host.
    Auto,
    /// This way, or the node does not start.
    Only(IoPath),
}

impl fmt::Display for MediaIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(path) => path.fmt(f),
        }
    }
}

/// None of the known ways.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no way of media; write auto, io_uring or epoll")]
pub(super) struct MediaIoError(String);

pub(super) fn parse(text: &str) -> Result<MediaIo, MediaIoError> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(MediaIo::Auto),
        "io_uring" => Ok(MediaIo::Only(IoPath::IoUring)),
        "epoll" => Ok(MediaIo::Only(IoPath::Epoll)),
        _ => Err(MediaIoError(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_written_as_it_is_read() {
        for way in [MediaIo::Auto, MediaIo::Only(IoPath::IoUring), MediaIo::Only(IoPath::Epoll)] {
            assert_eq!(parse(&way.to_string()), Ok(way));
        }
        assert_eq!(parse("uring"), Err(MediaIoError("uring".to_owned())));
    }
}
