//! What is written is read back the same, and nothing that is read can panic the parser.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tandem_sip::message::framing::StreamDecoder;
use tandem_sip::message::{
    Body, CSeq, Header, HeaderName, HeaderValue, Host, Message, Method, NameAddr, ParamValue, Params, Request,
    Response, SipCallId, SipUri, Start, StatusCode, Token, Uri, Via, ViaTransport,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_uri_reads_as_it_was_written(uri in sip_uri()) {
        prop_assert_eq!(Uri::parse(uri.to_string().as_bytes()), Ok(Uri::Sip(uri)));
    }

    #[test]
    fn reading_a_uri_is_idempotent(text in "(sip|sips|tel|urn):[ -~]{0,40}") {
        if let Ok(uri) = Uri::parse(text.as_bytes()) {
            prop_assert!(uri.matches(&uri));
            prop_assert_eq!(Uri::parse(uri.to_string().as_bytes()), Ok(uri));
        }
    }

    #[test]
    fn an_address_reads_as_it_was_written(address in name_addr()) {
        prop_assert_eq!(NameAddr::parse(HeaderName::From, address.to_string().as_bytes()), Ok(address));
    }

    #[test]
    fn a_request_reads_as_it_was_written(request in request()) {
        let written = request.to_bytes();
        let message = Message::parse(&written).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(message.start(), Start::Request { method: request.method.clone(), uri: request.uri.clone() });
        prop_assert_eq!(message.vias(), request.vias);
        prop_assert_eq!(message.from(), request.from);
        prop_assert_eq!(message.to(), request.to);
        prop_assert_eq!(message.call_id(), request.call_id.as_str());
        prop_assert_eq!(message.cseq(), CSeq { number: request.cseq, method: request.method });
        prop_assert_eq!(message.max_forwards(), Some(request.max_forwards));
        prop_assert_eq!(message.routes(), Ok(request.routes));
        prop_assert_eq!(message.record_routes(), Ok(request.record_routes));
        prop_assert_eq!(message.contacts(), Ok(request.contact.into_iter().collect()));
        for header in &request.headers {
            prop_assert!(message.headers(&header.name).any(|value| *value == *header.value.as_str().as_bytes()));
        }
        prop_assert_eq!(message.body(), &request.body.map(|body| body.bytes).unwrap_or_default()[..]);
    }

    #[test]
    fn a_response_copies_the_request(request in request(), tag in token(), code in 100u16..700) {
        let written = request.to_bytes();
        let message = Message::parse(&written).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let response: Response = message.to_response(StatusCode::new(code).unwrap(), Some(&tag));
        let written = response.to_bytes();
        let message = Message::parse(&written).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(message.vias(), request.vias);
        prop_assert_eq!(message.from(), request.from);
        prop_assert_eq!(message.call_id(), request.call_id.as_str());
        prop_assert_eq!(message.to().uri, request.to.uri);
        let expected_tag = request.to.params.get("tag").or(if code == 100 { None } else { Some(tag.as_str()) });
        prop_assert_eq!(message.to_tag(), expected_tag);
    }

    #[test]
    fn any_octets_are_survived(octets in vec(any::<u8>(), 0..600)) {
        let _outcome = Message::parse(&octets);
        let mut decoder = StreamDecoder::new();
        decoder.push(&octets);
        while let Ok(Some(_)) = decoder.next_frame() {}
    }

    #[test]
    fn likely_octets_are_survived(
        values in vec("([ -~]|[\\x00\"<>,;=%\\\\é]|\r\n ){0,30}", 10),
        start in "(INVITE|ACK|X) (sip:[ -~]{0,20}) SIP/[0-9.]{1,3}|SIP/2.0 [ -~]{0,10}",
    ) {
        let names = ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "Route", "WWW-Authenticate", "Content-Type", "Expires"];
        let mut text = format!("{start}\r\n");
        for (name, value) in names.iter().zip(&values) {
            text += &format!("{name}: {value}\r\n");
        }
        for base in ["", "v: SIP/2.0/UDP h\r\nf: <sip:a@b>\r\nt: <sip:a@b>\r\ni: 1\r\nCSeq: 1 INVITE\r\n"] {
            let whole = format!("{start}\r\n{base}{}\r\n", text.split_once("\r\n").map_or("", |(_, rest)| rest));
            if let Ok(message) = Message::parse(whole.as_bytes()) {
                let _values = (message.vias(), message.contacts(), message.routes(), message.seconds(&HeaderName::Expires));
                let _challenges = tandem_sip::digest::challenges(&message);
            }
        }
    }

    #[test]
    fn a_header_value_stays_on_its_line(text in any::<String>()) {
        let value = HeaderValue::cleaned(&text);
        prop_assert!(HeaderValue::new(value.as_str()).is_ok());
        prop_assert!(!value.as_str().contains(['\r', '\n', '\0']));
    }
}

fn token() -> impl Strategy<Value = Token> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,12}".prop_map(|text| Token::new(&text).unwrap())
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        "[a-z][a-z0-9]{0,8}(\\.[a-z]{1,6}){0,2}".prop_map(|name| Host::new(&name).unwrap()),
        any::<std::net::IpAddr>().prop_map(Host::from),
    ]
}

fn port() -> impl Strategy<Value = Option<u16>> {
    option::of(1..=u16::MAX)
}

fn sip_uri() -> impl Strategy<Value = SipUri> {
    let params = vec(("[ -~]{1,6}", option::of("[ -~é]{1,8}")), 0..3);
    (any::<bool>(), option::of("[ -~é\\x00]{1,12}"), host(), port(), params).prop_map(
        |(secure, user, host, port, params)| {
            let mut uri = SipUri::new(host).with_port(port);
            uri.secure = secure;
            if let Some(user) = user {
                uri = uri.with_user(&user);
            }
            params.iter().fold(uri, |uri, (name, value)| uri.with_param(name, value.as_deref()))
        },
    )
}

fn params() -> impl Strategy<Value = Params> {
    vec((token(), option::of("[ -~é\\x00\\x07]{0,10}")), 0..3).prop_map(|pairs| {
        let mut params = Params::new();
        for (name, value) in pairs {
            if !["tag", "branch"].contains(&name.as_str().to_ascii_lowercase().as_str()) {
                params.set(name, value.as_deref().map(ParamValue::new));
            }
        }
        params
    })
}

fn name_addr() -> impl Strategy<Value = NameAddr> {
    (option::of("[ -~é\u{1f600}]{0,12}"), sip_uri(), params(), option::of(token())).prop_map(
        |(display, uri, params, tag)| {
            let mut address = NameAddr::new(uri);
            address.params = params;
            if let Some(display) = display {
                address = address.with_display(&display);
            }
            match tag {
                Some(tag) => address.with_tag(&tag),
                None => address,
            }
        },
    )
}

fn via() -> impl Strategy<Value = Via> {
    let transport = prop_oneof![
        Just(ViaTransport::Udp),
        Just(ViaTransport::Tcp),
        Just(ViaTransport::Tls),
        Just(ViaTransport::Wss),
        Just(ViaTransport::Other(Token::new("x-quic").unwrap())),
    ];
    (transport, host(), port(), token(), params()).prop_map(|(transport, host, port, branch, params)| {
        let mut via = Via::new(transport, host, port, &branch);
        for param in &params {
            via.params.set(param.name.clone(), param.value.clone());
        }
        via
    })
}

fn method() -> impl Strategy<Value = Method> {
    // Without those that demand a header of their own.
    prop_oneof![
        Just(Method::Invite),
        Just(Method::Ack),
        Just(Method::Bye),
        token().prop_map(|name| Method::new(&format!("X{name}")).unwrap())
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let ids = ("[!-~]{1,30}", 0u32.., any::<u8>());
    let routes = (vec(name_addr(), 0..3), vec(name_addr(), 0..3));
    let headers = vec(("[a-z]{2,8}", "[ -~\té]{0,20}"), 0..4);
    let body = option::of(vec(any::<u8>(), 0..40));
    let addresses = (name_addr(), name_addr(), name_addr(), sip_uri());
    (method(), ids, vec(via(), 1..4), routes, addresses, headers, body).prop_map(
        |(
            method,
            (call_id, cseq, max_forwards),
            vias,
            (routes, record_routes),
            (from, to, contact, uri),
            headers,
            body,
        )| {
            let call_id = SipCallId::new(&call_id).unwrap();
            let mut request = Request::new(method, uri.into(), from, to, call_id, cseq);
            request.max_forwards = max_forwards;
            request.vias = vias;
            request.routes = routes;
            request.record_routes = record_routes;
            request.contact = Some(contact);
            request.headers = headers
                .iter()
                .map(|(name, value)| {
                    Header::new(HeaderName::new(&format!("x-{name}")).unwrap(), HeaderValue::new(value).unwrap())
                })
                .collect();
            request.body = body.map(Body::sdp);
            request
        },
    )
}
