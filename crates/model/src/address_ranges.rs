use ipnet::IpNet;
use std::net::IpAddr;

/// A set of addresses that is written as ranges. To ask it costs as much for one range as for thousands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRanges {
    /// In order, none of which touches another.
    ranges: Vec<IpNet>,
}

impl AddressRanges {
    /// All addresses of these ranges.
    #[must_use]
    pub fn new(ranges: &[IpNet]) -> Self {
        let mut ranges = IpNet::aggregate(&ranges.to_vec());
        ranges.sort_unstable();
        Self { ranges }
    }

    /// Whether it has no address.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the address is among them. IPv4-mapped addresses are judged as the IPv4 address they stand for.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.overlapping(&IpNet::from(address.to_canonical())).is_some()
    }

    /// Whether all addresses of a range are among them.
    #[must_use]
    pub fn covers(&self, range: &IpNet) -> bool {
        self.overlapping(range).is_some_and(|own| own.contains(range))
    }

    /// A range of the set that has addresses in common with this one. It lies within this one, if any of them does.
    #[must_use]
    pub fn overlapping(&self, range: &IpNet) -> Option<IpNet> {
        let begun = self.ranges.partition_point(|own| own.network() <= range.broadcast());
        let last = self.ranges.get(begun.checked_sub(1)?)?;
        (last.broadcast() >= range.network()).then_some(*last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(texts: &[&str]) -> AddressRanges {
        AddressRanges::new(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>())
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let set = ranges(&["192.0.2.0/25", "192.0.2.128/25", "2001:db8::/64", "198.51.100.7/32"]);
        for (range, is_covered) in [
            ("192.0.2.0/24", true),
            ("192.0.2.9/32", true),
            ("192.0.0.0/16", false),
            ("198.51.100.7/32", true),
            ("198.51.100.6/31", false),
            ("2001:db8::1/128", true),
            ("2001:db8::/63", false),
        ] {
            assert_eq!(set.covers(&range.parse().unwrap()), is_covered, "{range}");
        }
        assert!(set.contains("::ffff:192.0.2.200".parse().unwrap()));
        assert!(!set.contains("192.0.3.0".parse().unwrap()));
        assert_eq!(set.overlapping(&"198.51.0.0/16".parse().unwrap()), Some("198.51.100.7/32".parse().unwrap()));
    }

    #[test]
    fn no_address_is_in_an_empty_set() {
        let nobody = AddressRanges::default();
        assert!(nobody.is_empty() && !nobody.contains("192.0.2.1".parse().unwrap()));
        assert!(!nobody.covers(&"192.0.2.1/32".parse().unwrap()));
    }

    fn any_range() -> impl Strategy<Value = IpNet> {
        // Few bits, so that ranges meet.
        (any::<bool>(), 0u8..16, 0u8..=4).prop_map(|(is_v4, bits, length)| {
            if is_v4 {
                IpNet::new(IpAddr::from([bits << 4, 0, 0, 0]), length).unwrap().trunc()
            } else {
                IpNet::new(IpAddr::from([u16::from(bits) << 12, 0, 0, 0, 0, 0, 0, 0]), length).unwrap().trunc()
            }
        })
    }

    proptest! {
        #[test]
        fn a_set_answers_as_its_ranges_do(
            written in prop::collection::vec(any_range(), 0..6),
            asked in any_range(),
        ) {
            let set = AddressRanges::new(&written);
            let meets = |range: &IpNet| range.contains(&asked) || asked.contains(range);
            prop_assert_eq!(set.overlapping(&asked).is_some(), written.iter().any(meets));
            prop_assert_eq!(set.contains(asked.network()), written.iter().any(|range| range.contains(&asked.network())));
            if written.iter().any(|range| range.contains(&asked)) {
                prop_assert!(set.covers(&asked));
            }
            if let Some(met) = set.overlapping(&asked) {
                prop_assert!(met.contains(&asked) || asked.contains(&met));
            }
        }
    }
}
