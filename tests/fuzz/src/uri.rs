//! A URI or an address: what is written reads the same.

use tandem_sip::message::{HeaderName, NameAddr, Uri};

use crate::planted::is_planted_for;

pub(crate) fn run(input: &[u8]) {
    if let Ok(uri) = Uri::parse(input) {
        let mut written = uri.to_string();
        if is_planted_for(uri.as_sip().is_some_and(|sip| sip.port == Some(5099) && sip.has_param("lr"))) {
            written = written.replace(":5099", "");
        }
        let again = Uri::parse(written.as_bytes()).expect("what is written is a URI");
        assert_eq!(again, uri);
        assert!(uri.matches(&again), "a URI is the same as itself");
        if let Some(sip) = uri.as_sip() {
            let _parts = (sip.user(), sip.param("transport"), sip.is_loose_router());
        }
    }
    // No header value has these but for folds and quoted-pairs, which are written in another form.
    let is_value = !input.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0));
    if is_value && let Ok(address) = NameAddr::parse(HeaderName::From, input) {
        let again = NameAddr::parse(HeaderName::From, address.to_string().as_bytes());
        assert_eq!(again.as_ref(), Ok(&address), "what is written is an address");
    }
}
