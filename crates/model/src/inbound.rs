use crate::{Connect, E164};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `inbound_routing`, parsed: who talks to callers who come in over a trunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundRouting {
    /// Country code (1 to 3 digits) of the national numbers that the carrier sends; without one, digits without `+` begin with their
    /// country code.
    #[serde(default)]
    pub country_code: Option<String>,
    /// In order: the first that matches decides.
    #[serde(default)]
    pub rules: Vec<InboundRule>,
    /// For calls that no rule matches; without one they are refused.
    #[serde(default)]
    pub default: Option<Connect>,
}

/// One rule of [`InboundRouting`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundRule {
    /// The called number; `None` matches every one.
    pub to: Option<NumberPattern>,
    /// The caller's number; `None` matches every one.
    pub from: Option<NumberPattern>,
    /// Who talks.
    pub connect: Connect,
}

impl InboundRouting {
    /// Routing by these rules, whose patterns are taken as numbers in the trunk's format.
    #[must_use]
    pub fn new(country_code: Option<String>, rules: Vec<InboundRule>, default: Option<Connect>) -> Self {
        let mut routing = Self { country_code, rules: Vec::new(), default };
        let normalised = |pattern: Option<NumberPattern>| pattern.map(|pattern| pattern.normalised(&routing));
        let rules =
            rules.into_iter().map(|rule| InboundRule { to: normalised(rule.to), from: normalised(rule.from), ..rule });
        routing.rules = rules.collect();
        routing
    }

    /// The number that a user part means, as `+` and digits: `+12025550100`, `0012025550100`, and national digits by the country code.
    /// What is no number (a name, an emergency number, a short code) stays as it is.
    #[must_use]
    pub fn normalised(&self, user: &str) -> String {
        // Visual separators mean nothing (RFC 3966 §5.1.1), and neither do tel parameters in a user part.
        let user = user.split(';').next().unwrap_or(user);
        let digits: String = user.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
        let plain = digits.strip_prefix('+').unwrap_or(&digits);
        if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
            return user.to_owned();
        }
        if digits.starts_with('+') {
            return digits;
        }
        self.with_country(plain).filter(|number| number.parse::<E164>().is_ok()).unwrap_or(digits)
    }

    /// The digits with `+` and country code; `None` where they are too few to be a number.
    fn with_country(&self, digits: &str) -> Option<String> {
        if digits.len() < SHORTEST_NATIONAL {
            return None;
        }
        if let Some(international) = digits.strip_prefix("00") {
            return Some(format!("+{international}"));
        }
        Some(match self.country_code.as_deref() {
            None => format!("+{digits}"),
            Some(NANP_CODE) => match (digits.len(), digits.strip_prefix("011")) {
                (_, Some(international)) => format!("+{international}"),
                (NANP_NATIONAL_DIGITS, None) => format!("+{NANP_CODE}{digits}"),
                (_, None) => format!("+{digits}"),
            },
            Some(code) => match digits.strip_prefix('0') {
                // Italy keeps the zero of its national numbers.
                Some(_) if code == ITALY => format!("+{code}{digits}"),
                Some(national) => format!("+{code}{national}"),
                // Long enough to have its country code already, and begins with it.
                None if digits.starts_with(code) && digits.len() >= code.len() + SHORTEST_NATIONAL => {
                    format!("+{digits}")
                }
                None => format!("+{code}{digits}"),
            },
        })
    }

    /// The rule for a call, by its place; both numbers are [normalised](Self::normalised).
    #[must_use]
    pub fn rule_for(&self, to: &str, from: &str) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matches(to, from))
    }

    /// How closely the rules name a called number; `None` when none does. The default names none.
    #[must_use]
    pub fn names(&self, to: &str, from: &str) -> Option<Closeness> {
        let matching = self.rules.iter().filter(|rule| rule.matches(to, from));
        matching.map(|rule| rule.to.as_ref().map_or(Closeness::Prefix(0), NumberPattern::closeness)).max()
    }

    /// The `to` of the rules that comes nearest to a number that none of them matches.
    #[must_use]
    pub fn nearest(&self, to: &str) -> Option<&NumberPattern> {
        self.rules.iter().filter_map(|rule| rule.to.as_ref()).max_by_key(|pattern| pattern.shared_with(to))
    }
}

impl InboundRule {
    fn matches(&self, to: &str, from: &str) -> bool {
        let fits =
            |pattern: &Option<NumberPattern>, number| pattern.as_ref().is_none_or(|pattern| pattern.matches(number));
        fits(&self.to, to) && fits(&self.from, from)
    }
}

/// How closely a pattern names a number: the greater the closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closeness {
    /// By so many characters of a prefix.
    Prefix(usize),
    /// Whole.
    Exact,
}

/// A number, or with `*` at its end the beginning of one: `+12025550100`, `+1202*`, `*`; a user name (`support`) likewise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NumberPattern {
    text: String,
    is_prefix: bool,
}

impl NumberPattern {
    /// Whether it names that number.
    #[must_use]
    pub fn matches(&self, number: &str) -> bool {
        if self.is_prefix { number.starts_with(&self.text) } else { number == self.text }
    }

    /// How closely it names a number that it matches.
    #[must_use]
    pub const fn closeness(&self) -> Closeness {
        if self.is_prefix { Closeness::Prefix(self.text.len()) } else { Closeness::Exact }
    }

    /// The same pattern with digits that mean a number written as `rules` write them, so that both sides of a comparison are alike.
    fn normalised(&self, rules: &InboundRouting) -> Self {
        let has_digits_only = !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit());
        let text = match (has_digits_only, self.is_prefix) {
            (false, _) => self.text.clone(),
            (true, true) => format!("+{}", self.text),
            (true, false) => rules.normalised(&self.text),
        };
        Self { text, is_prefix: self.is_prefix }
    }

    fn shared_with(&self, number: &str) -> usize {
        self.text.bytes().zip(number.bytes()).take_while(|(one, other)| one == other).count()
    }

    /// Most characters, the `*` not counted: that of a SIP user name that this project sends.
    pub const MAX_LENGTH: usize = 64;
}

impl FromStr for NumberPattern {
    type Err = ParseNumberPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        if text.len() > Self::MAX_LENGTH || (text.is_empty() && !is_prefix) {
            return Err(ParseNumberPatternError::Length);
        }
        let is_user = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.#".contains(&byte);
        if !text.bytes().all(is_user) {
            return Err(ParseNumberPatternError::Characters);
        }
        Ok(Self { text: text.to_owned(), is_prefix })
    }
}

impl fmt::Display for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

impl TryFrom<String> for NumberPattern {
    type Error = ParseNumberPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NumberPattern> for String {
    fn from(pattern: NumberPattern) -> Self {
        pattern.to_string()
    }
}

/// Why a text is no [`NumberPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseNumberPatternError {
    /// Empty, or too long.
    #[error("a pattern has 1 to 64 characters")]
    Length,
    /// Something that stands in no number and no user name; or a `*` that is not at the end.
    #[error("a pattern is a number or a user name, or the beginning of one with * at the end, as +1202*")]
    Characters,
}

/// The fewest digits that are taken for a number rather than for a short code: the shortest national numbers in use have five.
const SHORTEST_NATIONAL: usize = 5;
/// The North American numbering plan.
const NANP_CODE: &str = "1";
const NANP_NATIONAL_DIGITS: usize = 10;
const ITALY: &str = "39";

#[cfg(test)]
mod tests {
    use super::*;

    fn routing(country_code: Option<&str>, rules: &[&str]) -> InboundRouting {
        let rule = |to: &&str| InboundRule { to: Some(to.parse().unwrap()), from: None, connect: Connect::Echo };
        InboundRouting {
            country_code: country_code.map(str::to_owned),
            rules: rules.iter().map(rule).collect(),
            default: None,
        }
    }

    #[test]
    fn digits_become_a_number_by_the_format_of_the_trunk() {
        let plain = routing(None, &[]);
        assert_eq!(plain.normalised("12025550100"), "+12025550100");
        assert_eq!(plain.normalised("+1-202-555-0100"), "+12025550100");
        assert_eq!(plain.normalised("0012025550100;phone-context=x"), "+12025550100");
        assert_eq!(plain.normalised("support"), "support");
        assert_eq!(plain.normalised("911"), "911");
        let us = routing(Some("1"), &[]);
        assert_eq!(us.normalised("2025550100"), "+12025550100");
        assert_eq!(us.normalised("12025550100"), "+12025550100");
        assert_eq!(us.normalised("011442079460018"), "+442079460018");
        let uk = routing(Some("44"), &[]);
        assert_eq!(uk.normalised("02079460018"), "+442079460018");
        assert_eq!(uk.normalised("442079460018"), "+442079460018");
        assert_eq!(uk.normalised("0012025550100"), "+12025550100");
        assert_eq!(routing(Some("39"), &[]).normalised("0612345678"), "+390612345678");
        // Too long for a number: left as it came.
        assert_eq!(plain.normalised("12345678901234567890"), "12345678901234567890");
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_a_miss_names_the_nearest() {
        let rules = routing(None, &["+12025550101", "+1202*", "support"]);
        assert_eq!(rules.rule_for("+12025550101", ""), Some(0));
        assert_eq!(rules.rule_for("+12025550199", ""), Some(1));
        assert_eq!(rules.rule_for("support", ""), Some(2));
        assert_eq!(rules.rule_for("+1303", ""), None);
        assert_eq!(rules.nearest("+12035").unwrap().to_string(), "+1202*");
        assert_eq!(rules.names("+12025550101", ""), Some(Closeness::Exact));
        assert_eq!(rules.names("+12025550199", ""), Some(Closeness::Prefix(5)));
        assert!(Closeness::Exact > Closeness::Prefix(64));
    }

    #[test]
    fn a_pattern_without_plus_means_the_same_number() {
        let us = routing(Some("1"), &[]);
        let written = |text: &str| text.parse::<NumberPattern>().unwrap().normalised(&us).to_string();
        assert_eq!(written("2025550100"), "+12025550100");
        assert_eq!(written("1202*"), "+1202*");
        assert_eq!(written("*"), "*");
        assert_eq!("".parse::<NumberPattern>(), Err(ParseNumberPatternError::Length));
        assert_eq!("+12*02".parse::<NumberPattern>(), Err(ParseNumberPatternError::Characters));
    }
}
