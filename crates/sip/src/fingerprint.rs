//! Fingerprints: 128 bits that stand for a text that a peer chose.

use std::hash::{BuildHasherDefault, Hasher};

/// Makes fingerprints under a secret key: SipHash-2-4 with 128 bits of output.
///
/// Who does not know the key cannot make two texts with one fingerprint, nor texts that crowd one bucket of a table
/// keyed by them. So tables keep 16 octets for a transaction in place of the peer's branch, and need no other hash.
#[derive(Clone)]
pub(crate) struct Fingerprints {
    key: (u64, u64),
}

impl Fingerprints {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let number = u128::from_le_bytes(key);
        Self { key: (low(number), low(number >> 64)) }
    }

    /// The fingerprint of the parts, each with its length, so that no two lists of parts run into one text.
    pub(crate) fn of(&self, parts: &[&[u8]]) -> u128 {
        let mut state = SipHash::new(self.key);
        for part in parts {
            state.write(&(part.len() as u64).to_le_bytes());
            state.write(part);
        }
        state.finish()
    }
}

/// The map for keys that are random already: ours are random numbers, a peer's are fingerprints.
pub(crate) type RandomKeyMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<TakeAsIs>>;

/// A hasher that takes the number it is given for the hash.
#[derive(Debug, Default)]
pub(crate) struct TakeAsIs(u64);

impl Hasher for TakeAsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(octet);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = low(number);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low(number: u128) -> u64 {
    number as u64
}

/// SipHash-2-4-128 (Aumasson and Bernstein).
struct SipHash {
    v: [u64; 4],
    /// Octets that do not fill a word yet, from the low end.
    tail: u64,
    tail_len: u32,
    total: u64,
}

impl SipHash {
    fn new((k0, k1): (u64, u64)) -> Self {
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            // The last octet differs from the 64-bit variant by 0xee.
            k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, tail_len: 0, total: 0 }
    }

    fn write(&mut self, octets: &[u8]) {
        self.total = self.total.wrapping_add(octets.len() as u64);
        let mut rest = octets;
        while self.tail_len != 0 {
            let Some((&octet, after)) = rest.split_first() else { return };
            rest = after;
            self.push(octet);
        }
        let (words, last) = rest.as_chunks::<8>();
        for word in words {
            self.compress(u64::from_le_bytes(*word));
        }
        for &octet in last {
            self.push(octet);
        }
    }

    fn push(&mut self, octet: u8) {
        self.tail |= u64::from(octet) << (8 * self.tail_len);
        self.tail_len += 1;
        if self.tail_len == 8 {
            let word = std::mem::take(&mut self.tail);
            self.tail_len = 0;
            self.compress(word);
        }
    }

    fn compress(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
    }

    fn round(&mut self) {
        let [mut v0, mut v1, mut v2, mut v3] = self.v;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        self.v = [v0, v1, v2, v3];
    }

    fn finish(mut self) -> u128 {
        let last = self.tail | (self.total << 56);
        self.compress(last);
        self.v[2] ^= 0xee;
        let first = self.finalize();
        self.v[1] ^= 0xdd;
        let second = self.finalize();
        u128::from(first) | (u128::from(second) << 64)
    }

    fn finalize(&mut self) -> u64 {
        for _ in 0..4 {
            self.round();
        }
        self.v.iter().fold(0, |sum, v| sum ^ v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(octets: &[u8]) -> String {
        let key: [u8; 16] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let mut state = SipHash::new(Fingerprints::new(key).key);
        state.write(octets);
        hex::encode(state.finish().to_le_bytes())
    }

    #[test]
    fn agrees_with_the_vectors_of_the_authors() {
        // `vectors_sip128` of the reference implementation: key 00..0f, input 00, 01, 02, ...
        assert_eq!(digest(&[]), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(digest(&[0]), "da87c1d86b99af44347659119b22fc45");
        assert_eq!(digest(&[0, 1]), "8177228da4a45dc7fca38bdef60affe4");
    }

    #[test]
    fn does_not_depend_on_how_the_octets_are_cut() {
        let text = b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-1";
        let whole = digest(text);
        for cut in 0..text.len() {
            let mut state =
                SipHash::new(Fingerprints::new(std::array::from_fn(|index| u8::try_from(index).unwrap())).key);
            state.write(&text[..cut]);
            state.write(&text[cut..]);
            assert_eq!(hex::encode(state.finish().to_le_bytes()), whole);
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let fingerprints = Fingerprints::new([7; 16]);
        assert_ne!(fingerprints.of(&[b"ab", b"c"]), fingerprints.of(&[b"a", b"bc"]));
    }
}
