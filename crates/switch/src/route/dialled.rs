use tandem_model::{DialTarget, OutboundRouting};

/// The number as the carrier wants it: after `strip` and `prepend`. An emergency number is never changed.
#[must_use]
pub fn dialled_number(to: &DialTarget, rules: &OutboundRouting) -> String {
    match to {
        DialTarget::Emergency(digits) => digits.clone(),
        DialTarget::Uri(_) => to.number().to_owned(),
        DialTarget::Number(number) if rules.strip == 0 && rules.prepend.is_empty() => number.as_str().to_owned(),
        DialTarget::Number(number) => {
            let kept = number.digits().get(usize::from(rules.strip)..).unwrap_or("");
            format!("{}{kept}", rules.prepend)
        }
    }
}

/// How a trunk's prefixes judge a number: the prefix that matches (empty when it takes every number), else the nearest miss.
///
/// # Errors
/// The prefix that shares most digits with the number.
pub fn matching_prefix<'a>(to: &DialTarget, rules: &'a OutboundRouting) -> Result<&'a str, &'a str> {
    let number = match to {
        // A SIP address has no prefix to judge.
        DialTarget::Uri(_) => return Ok(""),
        // Only a whole match counts, so that a prefix of "9" never sends 911 anywhere.
        DialTarget::Emergency(digits) => {
            let whole = rules.prefixes.iter().find(|prefix| *prefix == digits);
            return whole.map(String::as_str).ok_or_else(|| nearest(digits, rules));
        }
        DialTarget::Number(number) => number.as_str(),
    };
    if rules.prefixes.is_empty() {
        return Ok("");
    }
    let matches = rules.prefixes.iter().filter(|prefix| with_plus(number, prefix).starts_with(prefix.as_str()));
    matches.max_by_key(|prefix| prefix.len()).map(String::as_str).ok_or_else(|| nearest(number, rules))
}

/// Prefixes may be written with or without the `+`.
fn with_plus<'a>(number: &'a str, prefix: &str) -> &'a str {
    if prefix.starts_with('+') { number } else { number.strip_prefix('+').unwrap_or(number) }
}

fn nearest<'a>(number: &str, rules: &'a OutboundRouting) -> &'a str {
    let shared = |prefix: &&String| {
        with_plus(number, prefix).bytes().zip(prefix.bytes()).take_while(|(digit, other)| digit == other).count()
    };
    rules.prefixes.iter().max_by_key(shared).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> DialTarget {
        DialTarget::Number(text.parse().unwrap())
    }

    fn rules(prefixes: &[&str]) -> OutboundRouting {
        OutboundRouting {
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            ..OutboundRouting::default()
        }
    }

    #[test]
    fn strips_and_prepends() {
        let plain = OutboundRouting::default();
        assert_eq!(dialled_number(&number("+12025550100"), &plain), "+12025550100");
        let national = OutboundRouting { strip: 1, ..plain.clone() };
        assert_eq!(dialled_number(&number("+12025550100"), &national), "2025550100");
        let international = OutboundRouting { prepend: "011".into(), ..plain.clone() };
        assert_eq!(dialled_number(&number("+442079460018"), &international), "011442079460018");
        let all = OutboundRouting { strip: 20, ..plain };
        assert_eq!(dialled_number(&number("+12025550100"), &all), "");
    }

    #[test]
    fn the_longest_prefix_matches_and_a_miss_names_the_nearest() {
        let rules = rules(&["+1", "+1202", "44"]);
        assert_eq!(matching_prefix(&number("+12025550100"), &rules), Ok("+1202"));
        assert_eq!(matching_prefix(&number("+442079460018"), &rules), Ok("44"));
        assert_eq!(matching_prefix(&number("+4930901820"), &rules), Err("44"));
    }

    #[test]
    fn an_emergency_number_needs_a_whole_match() {
        let emergency = DialTarget::Emergency("911".into());
        assert_eq!(matching_prefix(&emergency, &rules(&[])), Err(""));
        assert_eq!(matching_prefix(&emergency, &rules(&["9"])), Err("9"));
        assert_eq!(matching_prefix(&emergency, &rules(&["911"])), Ok("911"));
    }
}
