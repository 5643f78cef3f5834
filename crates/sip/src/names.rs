//! The names that we give: tags, branches, Call-IDs, nonces.

use crate::endpoint::Identity;
use crate::fingerprint::Fingerprints;
use crate::message::{SipCallId, Token};
use crate::random::Randomness;

/// Makes names out of our identity and random octets.
pub(crate) struct Names {
    identity: [u8; IDENTITY_BYTES],
    random: Box<dyn Randomness>,
}

impl Names {
    pub(crate) fn new(identity: Identity, random: Box<dyn Randomness>) -> Self {
        let [high, low] = identity.node.to_be_bytes();
        Self { identity: [high, low, identity.shard], random }
    }

    /// A tag or branch: our identity and 64 random bits (RFC 3261 §19.3 asks for 32), and the number that finds it.
    pub(crate) fn name(&mut self) -> (u64, Token) {
        let mut random = [0; 8];
        self.random.fill(&mut random);
        let number = u64::from_be_bytes(random);
        (number, self.name_of(number))
    }

    /// The name that has this number.
    pub(crate) fn name_of(&self, number: u64) -> Token {
        let mut octets = [0; IDENTITY_BYTES + 8];
        let (identity, random) = octets.split_at_mut(IDENTITY_BYTES);
        identity.copy_from_slice(&self.identity);
        random.copy_from_slice(&number.to_be_bytes());
        Token::hex(&octets)
    }

    /// A Call-ID: our identity and 96 random bits.
    pub(crate) fn call_id(&mut self) -> SipCallId {
        let mut octets = [0; IDENTITY_BYTES + 12];
        let (identity, random) = octets.split_at_mut(IDENTITY_BYTES);
        identity.copy_from_slice(&self.identity);
        self.random.fill(random);
        SipCallId::new(&hex::encode(octets)).expect("hexadecimal digits are a Call-ID")
    }

    /// A client nonce: 64 random bits.
    pub(crate) fn cnonce(&mut self) -> String {
        let mut octets = [0; 8];
        self.random.fill(&mut octets);
        hex::encode(octets)
    }

    /// A number below `bound`, or 0. The bias of the remainder does not matter where it is used: pauses.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let mut octets = [0; 4];
        self.random.fill(&mut octets);
        u32::from_be_bytes(octets).checked_rem(bound).unwrap_or(0)
    }

    pub(crate) fn fingerprints(&mut self) -> Fingerprints {
        let mut key = [0; 16];
        self.random.fill(&mut key);
        Fingerprints::new(key)
    }
}

/// The number in a tag or branch (without its cookie) of the form that [`Names::name`] gives.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.as_bytes();
    if digits.len() != 2 * (IDENTITY_BYTES + 8) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(name.get(2 * IDENTITY_BYTES..)?, 16).ok()
}

/// Two octets of node and one of shard.
const IDENTITY_BYTES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u8);

    impl Randomness for Counting {
        fn fill(&mut self, octets: &mut [u8]) {
            for octet in octets {
                self.0 = self.0.wrapping_add(1);
                *octet = self.0;
            }
        }
    }

    #[test]
    fn a_name_has_our_identity_and_finds_its_number_again() {
        let mut names = Names::new(Identity { node: 0x1234, shard: 5 }, Box::new(Counting(0)));
        let (number, name) = names.name();
        assert_eq!(name.as_str(), "1234050102030405060708");
        assert_eq!(number_of(name.as_str()), Some(number));
        assert_eq!(names.call_id().as_str(), "123405090a0b0c0d0e0f1011121314");
    }

    #[test]
    fn foreign_names_have_no_number() {
        for name in ["", "1234", "123405+10203040506070", "12340501020304050607081", "1234050102030405060é"] {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
