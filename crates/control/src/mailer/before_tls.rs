use lettre::transport::smtp::client::AsyncTokioStream;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection on which TLS begins with STARTTLS. What comes with the answer to that, before TLS, is an error.
///
/// RFC 3207 §4.2: what a server says before TLS must not count after it. The client reads ahead, and would take what somebody on the way
/// has added to the answer for what the server says by TLS: as that it has taken a mail.
#[derive(Debug)]
pub(super) struct BeforeTls {
    stream: TcpStream,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// STARTTLS was not sent.
    Plain,
    /// It was, and this is the place in a line of its answer.
    Asked { column: usize, has_more_lines: bool },
    /// It was answered: what comes now is of TLS.
    Answered,
    /// Something came with the answer: nothing more is read, not even an answer to the client's farewell.
    Broken,
}

/// Somebody said something where only the server's TLS may.
#[derive(Debug, thiserror::Error)]
#[error("something was said between the answer to STARTTLS and TLS: somebody on the way may have a hand in it")]
struct Injected;

impl BeforeTls {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, state: State::Plain }
    }
}

impl State {
    /// The state after what has come in.
    fn after(self, octets: &[u8]) -> Self {
        let Self::Asked { mut column, mut has_more_lines } = self else { return self };
        let mut rest = octets.iter();
        for octet in rest.by_ref() {
            match (octet, column) {
                (b'\n', _) if !has_more_lines => {
                    return if rest.as_slice().is_empty() { Self::Answered } else { Self::Broken };
                }
                (b'\n', _) => (column, has_more_lines) = (0, false),
                // RFC 5321 §4.2: a hyphen after the code says that another line follows.
                (octet, CODE_OCTETS) => (column, has_more_lines) = (CODE_OCTETS + 1, *octet == b'-'),
                _ => column = column.saturating_add(1),
            }
        }
        Self::Asked { column, has_more_lines }
    }
}

impl AsyncRead for BeforeTls {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match self.state {
            State::Broken => Poll::Ready(Ok(())),
            State::Plain | State::Asked { .. } | State::Answered => {
                Pin::new(&mut self.stream).poll_read(context, buffer)
            }
        };
        if let Poll::Ready(Ok(())) = &read {
            let octets = buffer.filled().get(before..).unwrap_or_default();
            self.state = self.state.after(octets);
            if self.state == State::Broken {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Injected)));
            }
        }
        read
    }
}

impl AsyncWrite for BeforeTls {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if self.state == State::Plain && octets.starts_with(STARTTLS) {
            self.state = State::Asked { column: 0, has_more_lines: false };
        }
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncTokioStream for BeforeTls {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

/// As the client writes it, alone, since a command waits for its answer.
const STARTTLS: &[u8] = b"STARTTLS";
/// Digits of the code of an answer.
const CODE_OCTETS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: State = State::Asked { column: 0, has_more_lines: false };

    #[test]
    fn nothing_may_follow_the_answer_to_starttls() {
        for (answer, rest) in [("220 go\r\n", "250 AUTH PLAIN\r\n"), ("220-go\r\n220 now\r\n", "250 ok\r\n")] {
            assert_eq!(ASKED.after(answer.as_bytes()), State::Answered, "{answer}");
            assert_eq!(ASKED.after(format!("{answer}{rest}").as_bytes()), State::Broken, "{answer}");
            let one_by_one = answer.bytes().fold(ASKED, |state, octet| state.after(&[octet]));
            assert_eq!(one_by_one, State::Answered, "{answer}");
        }
        // Before it all is the server's, and after it all is of TLS.
        for state in [State::Plain, State::Answered] {
            assert_eq!(state.after(b"250-a\r\n250 STARTTLS\r\n250 b\r\n"), state);
        }
    }
}
