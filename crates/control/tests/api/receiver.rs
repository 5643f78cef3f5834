//! A receiver of webhooks that does what the test says.

use async_trait::async_trait;
use axum::http::HeaderMap;
use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;
use tandem_control::{Outgoing, OutgoingAnswer, OutgoingError, UrlError};

#[derive(Default)]
pub(crate) struct Receiver(Mutex<State>);

#[derive(Default)]
struct State {
    behaviour: Behaviour,
    posts: Vec<Post>,
}

/// What it does with what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It takes it.
    #[default]
    Takes,
    /// It is not there.
    Down,
    /// It answers this.
    Answers(u16),
    /// It takes it, and never answers.
    Hangs,
}

/// What was sent.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) text: Vec<u8>,
    pub(crate) body: Value,
    /// Whether it was taken.
    pub(crate) taken: bool,
}

impl Receiver {
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.0.lock().unwrap().behaviour = behaviour;
    }

    /// Whether it was sent something that it has taken.
    pub(crate) fn has_taken(&self) -> bool {
        self.0.lock().unwrap().posts.iter().any(|post| post.taken)
    }

    /// What was sent since this was last asked.
    pub(crate) fn take(&self) -> Vec<Post> {
        std::mem::take(&mut self.0.lock().unwrap().posts)
    }
}

#[async_trait]
impl Outgoing for Receiver {
    fn check(&self, url: &str) -> Result<(), UrlError> {
        if url.starts_with("https://") { Ok(()) } else { Err(UrlError::Scheme) }
    }

    async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<OutgoingAnswer, OutgoingError> {
        let behaviour = {
            let mut state = self.0.lock().unwrap();
            let behaviour = state.behaviour;
            state.posts.push(Post {
                url: url.to_owned(),
                headers: headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
                body: serde_json::from_slice(&body).unwrap(),
                text: body,
                taken: matches!(behaviour, Behaviour::Takes | Behaviour::Hangs),
            });
            behaviour
        };
        let answer = |status| Ok(OutgoingAnswer { status, retry_after: None::<Duration> });
        match behaviour {
            Behaviour::Takes => answer(204),
            Behaviour::Down => Err(OutgoingError::Connect),
            Behaviour::Answers(status) => answer(status),
            Behaviour::Hangs => std::future::pending().await,
        }
    }
}
