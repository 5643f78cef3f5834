//! The input as a tape.

/// What is left of the input.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next octet, 0 when there is none.
    pub(super) fn octet(&mut self) -> u8 {
        let Some((octet, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *octet
    }

    /// A number below `bound`, which is at most 256.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.octet()) % bound
    }

    pub(super) fn flag(&mut self) -> bool {
        self.octet() % 2 == 1
    }

    pub(super) fn one_of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.below(N)]
    }

    /// The next octets, as many as two octets of length say and there are.
    pub(super) fn text(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes([self.octet(), self.octet()]));
        let (text, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        text
    }
}
