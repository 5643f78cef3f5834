use serde::{Serialize, Serializer};
use tandem_model::Secret;

/// A secret in the one answer that shows it. `Debug` does not, and it is wiped with the answer.
#[derive(Clone, Debug)]
pub(crate) struct ShownOnce(Secret);

impl From<&Secret> for ShownOnce {
    fn from(secret: &Secret) -> Self {
        Self(secret.clone())
    }
}

impl Serialize for ShownOnce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}
