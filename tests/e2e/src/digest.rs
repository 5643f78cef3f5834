//! Digest responses, computed without the code under test.

use md5::{Digest as _, Md5};

/// Whether the credentials of a request are right: MD5 with qop `auth` (RFC 7616 §3.4.1).
#[must_use]
pub fn is_right(credentials: &str, method: &str, username: &str, password: &str) -> bool {
    let value = |name: &str| {
        let parts = credentials.strip_prefix("Digest ")?.split(',').map(str::trim);
        let found = parts.filter_map(|part| part.split_once('=')).find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim_matches('"').to_owned())
    };
    let all = || {
        let secret = hash(&format!("{username}:{}:{password}", value("realm")?));
        let what = hash(&format!("{method}:{}", value("uri")?));
        let once = format!("{}:{}:{}:{}", value("nonce")?, value("nc")?, value("cnonce")?, value("qop")?);
        let right = hash(&format!("{secret}:{once}:{what}"));
        Some(value("username")? == username && value("response")? == right)
    };
    all().unwrap_or(false)
}

fn hash(text: &str) -> String {
    hex::encode(Md5::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_example_of_the_rfc() {
        // RFC 7616 §3.9.1.
        let credentials = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm=MD5, \
            nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
            cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"8ca523f5e9506fed4657c9700eebdbec\"";
        assert!(is_right(credentials, "GET", "Mufasa", "Circle of Life"));
        assert!(!is_right(credentials, "GET", "Mufasa", "Circle of Death"));
    }
}
