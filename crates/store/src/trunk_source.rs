//! Addresses that trunks take calls from are one account's, but for those that the operator has named as shared.

use crate::row::Columns;
use ipnet::IpNet;
use tandem_model::{AddressRanges, SourceClaim, Trunk, source_claims};

/// What a trunk would claim that it has not claimed before, and that is not shared.
pub(crate) struct NewClaims<'a> {
    claims: Vec<SourceClaim>,
    ranges: AddressRanges,
    shared: &'a AddressRanges,
}

impl<'a> NewClaims<'a> {
    /// What `before` claims, the trunk keeps: age decides whose calls those are.
    pub(crate) fn new(trunk: &Trunk, before: Option<&Trunk>, shared: &'a AddressRanges) -> Self {
        let known: Vec<IpNet> =
            before.map(Trunk::source_claims).into_iter().flatten().map(|claim| claim.range).collect();
        let known = AddressRanges::new(&known);
        let mut claims = trunk.source_claims();
        claims.retain(|claim| !known.covers(&claim.range) && !shared.covers(&claim.range));
        let ranges: Vec<IpNet> = claims.iter().map(|claim| claim.range).collect();
        Self { ranges: AddressRanges::new(&ranges), claims, shared }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// The claim that has an address in common with what another trunk claims, apart from shared ones. The row is one of
    /// [`SOURCES_OF_OTHERS`]; one that cannot be read takes no calls, and claims nothing.
    pub(crate) fn taken_by<R: Columns>(&self, row: &R) -> Option<SourceClaim> {
        let (domain, proxy) = (row.text("sip_domain").ok()?, row.text_opt("sip_proxy").ok()?);
        let allowed: Vec<IpNet> = row.json("allowed_ips").ok()?;
        let theirs = source_claims(&domain, proxy.as_deref(), &allowed);
        theirs.iter().find_map(|theirs| self.clash(&theirs.range))
    }

    fn clash(&self, theirs: &IpNet) -> Option<SourceClaim> {
        let ours = self.ranges.overlapping(theirs)?;
        // None of our claims is wholly shared: where one lies within theirs, that is enough.
        let is_within = theirs.contains(&ours);
        let meets = |claim: &&SourceClaim| theirs.contains(&claim.range) || claim.range.contains(theirs);
        if is_within || !self.shared.covers(theirs) { self.claims.iter().find(meets).copied() } else { None }
    }
}

/// A page of what the trunks of other accounts that take calls claim: `$1` is the account, `$2` the trunk before it, `$3` how many.
pub(crate) const SOURCES_OF_OTHERS: &str = "SELECT id, sip_domain, sip_proxy, allowed_ips FROM trunks
     WHERE account_id <> $1 AND id > $2 AND deleted_at IS NULL AND call_direction <> 'outbound' ORDER BY id LIMIT $3";

/// Ends the function with an error if what a trunk claims anew is another account's; in the transaction that writes the trunk, so that of
/// two that claim the same at once only one is written.
macro_rules! refuse_taken_sources {
    ($transaction:ident, $account:expr, $claims:expr, $taken:path) => {
        let claims = $claims;
        let mut after = Some(uuid::Uuid::nil()).filter(|_| !claims.is_empty());
        while let Some(before) = after.take() {
            let others = sqlx::query(crate::trunk_source::SOURCES_OF_OTHERS)
                .bind($account.as_uuid())
                .bind(before)
                .bind(i64::from(crate::MAX_PAGE))
                .fetch_all(&mut *$transaction)
                .await?;
            if let Some(claim) = others.iter().find_map(|row| claims.taken_by(row)) {
                return Err($taken(claim));
            }
            if others.len() >= crate::MAX_PAGE as usize {
                after = others.last().map(|row| row.uuid("id")).transpose()?;
            }
        }
    };
}

pub(crate) use refuse_taken_sources;

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::SourceField;

    fn ranges(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_in_common_clash_unless_all_of_them_are_shared() {
        let shared = AddressRanges::new(&ranges(&["192.0.2.0/25", "2001:db8::/32"]));
        let claims: Vec<SourceClaim> = ranges(&["192.0.2.0/24", "198.51.100.7/32", "2001:db7::/48"])
            .into_iter()
            .map(|range| SourceClaim { field: SourceField::AllowedIps, range })
            .collect();
        let own = NewClaims {
            ranges: AddressRanges::new(&claims.iter().map(|claim| claim.range).collect::<Vec<_>>()),
            claims,
            shared: &shared,
        };
        for (theirs, ours) in [
            ("192.0.2.1/32", None),
            ("192.0.2.0/25", None),
            ("192.0.2.130/32", Some("192.0.2.0/24")),
            ("192.0.2.0/24", Some("192.0.2.0/24")),
            ("192.0.0.0/16", Some("192.0.2.0/24")),
            ("198.51.0.0/16", Some("198.51.100.7/32")),
            ("198.51.100.8/32", None),
            ("2001:db7::7/128", Some("2001:db7::/48")),
            ("2001:db8::7/128", None),
        ] {
            let clash = own.clash(&theirs.parse().unwrap()).map(|claim| claim.range.to_string());
            assert_eq!(clash.as_deref(), ours, "{theirs}");
        }
    }
}
