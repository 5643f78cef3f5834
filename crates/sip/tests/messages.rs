//! What the parser makes of messages that the corpus does not have, the RFC's examples among them, and what is
//! written in answer.

use tandem_sip::message::{
    BadHeader, Body, CSeq, Flaw, Header, HeaderName, HeaderValue, Host, Message, Method, NameAddr, ParseError, Request,
    SipCallId, SipUri, StatusCode, Token, Uri, Via, ViaTransport, limits,
};

const BASE: &str =
    "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: 1\r\nCSeq: 1 X\r\n";

/// RFC 4475 §3.1.1.2: everything unusual that the grammar allows.
#[test]
fn the_wide_range_of_valid_characters_is_read() {
    let bytes = b"!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0\r\n\
        Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\r\n\
        To: \"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f\" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>\r\n\
        From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"\xd1\x80\xd0\xb0\xd0\xb1\";tag=_token~1'+`*%!-.\r\n\
        Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\r\n\
        CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\r\n\
        Max-Forwards: 255\r\n\
        extensionHeader-!.%*+_`'~:\xef\xbb\xbf\xe5\xa4\xa7\xe5\x81\x9c\xe9\x9b\xbb\r\n\
        Content-Length: 0\r\n\r\n";
    let message = Message::parse(bytes).unwrap();
    assert_eq!(message.method().as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    assert_eq!(message.to().display.as_deref(), Some("BEL:\x07 NUL:\0 DEL:\x7f"));
    assert_eq!(message.from().params.get("fromParam''~+*_!.-%"), Some("раб"));
    assert_eq!(message.from_tag(), Some("_token~1'+`*%!-."));
    let uri = message.request_uri().unwrap();
    assert_eq!(uri.as_sip().unwrap().user().unwrap(), "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");

    let answer = message.to_response(StatusCode::NOT_IMPLEMENTED, Some(&Token::new("t").unwrap())).to_bytes();
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.from(), message.from());
    assert_eq!(answer.to().display, message.to().display);
}

/// RFC 4475 §3.3.13 (inv2543): no branch, no tags, no Max-Forwards, no Content-Length.
#[test]
fn a_request_of_rfc_2543_is_read() {
    let text = "INVITE sip:UserB@example.com SIP/2.0\r\nVia: SIP/2.0/UDP iftgw.example.com\r\n\
        From: <sip:+13035551111@ift.client.example.net;user=phone>\r\nRecord-Route: <sip:UserB@example.com;maddr=ss1.example.com>\r\n\
        To: sip:+16505552222@ss1.example.net;user=phone\r\nCall-ID: inv2543.1717@ift.client.example.com\r\nCSeq: 56 INVITE\r\n\
        Contact: <sip:+13035551111@ift.client.example.net>\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n";
    let message = Message::parse(text.as_bytes()).unwrap();
    assert_eq!((message.branch(), message.from_tag(), message.max_forwards()), (None, None, None));
    assert_eq!(message.body(), b"v=0\r\n");
    assert_eq!(message.content_type(), Ok(Some("application/sdp".to_owned())));
}

#[test]
fn a_second_message_in_a_datagram_is_dropped() {
    let one = format!("X sip:a@b SIP/2.0\r\n{BASE}Content-Length: 0\r\n\r\n");
    let bytes = format!("{one}{one}");
    assert_eq!(Message::parse(bytes.as_bytes()).unwrap().body(), b"");
}

#[test]
fn each_flaw_is_told_and_answered_with_its_code() {
    let long = "x".repeat(limits::MAX_HEADER_BYTES);
    let many = "Y: y\r\n".repeat(limits::MAX_HEADERS);
    let long_uri = format!("X sip:{}@b SIP/2.0", "a".repeat(limits::MAX_START_LINE_BYTES));
    let cases: &[(&str, &str, Flaw, u16)] = &[
        ("X sip:a@b SIP/2.0 ", "", Flaw::BadStartLine, 400),
        ("X sip:a@b  SIP/2.0", "", Flaw::BadRequestUri, 400),
        ("X  sip:a@b SIP/2.0", "", Flaw::BadRequestUri, 400),
        ("X <sip:a@b> SIP/2.0", "", Flaw::BadRequestUri, 400),
        ("X sip:a@b?Route=x SIP/2.0", "", Flaw::BadRequestUri, 400),
        ("X sip:a@b SIP/7.0", "", Flaw::UnsupportedVersion, 505),
        (&long_uri, "", Flaw::StartLineTooLong, 414),
        ("X sip:a@b SIP/2.0", "To: <sip:x@y>\r\n", Flaw::Repeated(HeaderName::To), 400),
        ("X sip:a@b SIP/2.0", "t: <sip:x@y>\r\n", Flaw::Repeated(HeaderName::To), 400),
        ("X sip:a@b SIP/2.0", "Content-Length: -1\r\n", BadHeader(HeaderName::ContentLength).into(), 400),
        ("X sip:a@b SIP/2.0", "Content-Length: 1\r\n", Flaw::BodyCut, 400),
        ("X sip:a@b SIP/2.0", "Max-Forwards: 256\r\n", BadHeader(HeaderName::MaxForwards).into(), 400),
        ("X sip:a@b SIP/2.0", "no colon\r\n", Flaw::BadHeaderLine, 400),
        ("X sip:a@b SIP/2.0", "Y: a\nb\r\n", Flaw::ForbiddenControl, 400),
        ("X sip:a@b SIP/2.0", "Y: a\rb\r\n", Flaw::ForbiddenControl, 400),
        ("X sip:a@b SIP/2.0", "Y: a\0b\r\n", Flaw::ForbiddenControl, 400),
        ("X sip:a@b SIP/2.0", &format!("Y: {long}\r\n"), Flaw::HeaderTooLong, 513),
        ("X sip:a@b SIP/2.0", &many, Flaw::TooManyHeaders, 513),
        ("Y sip:a@b SIP/2.0", "", Flaw::MethodMismatch, 400),
    ];
    for (line, extra, flaw, status) in cases {
        let text = format!("{line}\r\n{BASE}{extra}\r\n");
        let Err(ParseError::Answerable(refusal)) = Message::parse(text.as_bytes()) else {
            panic!("{line} {flaw}: not refused")
        };
        assert_eq!((&refusal.flaw, refusal.status.as_u16()), (flaw, *status));
    }
}

/// RFC 4475 §3.1.2.6, §3.1.2.15: what is broken in a display name does not keep the sender from hearing so.
#[test]
fn an_address_whose_display_name_is_broken_is_answered_without_it() {
    for broken in ["\"Mr. J. User <sip:c@d>;tag=2", "Bell, Alexander <sip:c@d>;tag=2"] {
        let text = format!("X sip:a@b SIP/2.0\r\n{BASE}\r\n").replace("<sip:c@d>", broken);
        let Err(ParseError::Answerable(refusal)) = Message::parse(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(
            (refusal.status, &refusal.flaw),
            (StatusCode::BAD_REQUEST, &Flaw::BadHeader(BadHeader(HeaderName::To)))
        );
        let answer = refusal.to_response(&Token::new("t").unwrap()).to_bytes();
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.to().to_string(), "<sip:c@d>;tag=2");
    }
    let hopeless = format!("X sip:a@b SIP/2.0\r\n{BASE}\r\n").replace("<sip:c@d>", "\"<sip:c@d");
    assert!(matches!(Message::parse(hopeless.as_bytes()), Err(ParseError::Discard(_))), "{hopeless}");
}

/// RFC 4475 §3.1.2.16: the sender's Via is of its version, and it is answered in ours.
#[test]
fn a_request_of_another_version_throughout_is_told_so() {
    let text = format!("X sip:a@b SIP/7.0\r\n{BASE}\r\n").replace("Via: SIP/2.0", "Via: SIP/7.0");
    let Err(ParseError::Answerable(refusal)) = Message::parse(text.as_bytes()) else { panic!("{text}") };
    assert_eq!(refusal.status, StatusCode::VERSION_NOT_SUPPORTED);
    let answer = refusal.to_response(&Token::new("t").unwrap()).to_bytes();
    assert_eq!(Message::parse(&answer).unwrap().top_via().to_string(), "SIP/2.0/UDP h;branch=z9hG4bK1");
    let mixed = format!("X sip:a@b SIP/2.0\r\n{BASE}\r\n").replace("Via: SIP/2.0", "Via: SIP/7.0");
    assert!(matches!(Message::parse(mixed.as_bytes()), Err(ParseError::Discard(_))), "{mixed}");
}

#[test]
fn requests_that_demand_a_header_say_so() {
    for (method, name, status) in
        [("INVITE", HeaderName::Contact, 400), ("REFER", HeaderName::ReferTo, 400), ("NOTIFY", HeaderName::Event, 489)]
    {
        let text = format!("{method} sip:a@b SIP/2.0\r\n{}\r\n", BASE.replace("1 X", &format!("1 {method}")));
        let Err(ParseError::Answerable(refusal)) = Message::parse(text.as_bytes()) else {
            panic!("{method} is accepted")
        };
        assert_eq!((refusal.flaw, refusal.status.as_u16()), (Flaw::Missing(name), status));
    }
}

#[test]
fn responses_and_acks_are_never_answered() {
    for line in ["SIP/2.0 200 OK", "SIP/2.0 99 x", "SIP/2.0 2000 x", "SIP/3.0 200 OK", "ACK sip:a@b SIP/2.0"] {
        let text = format!("{line}\r\n{BASE}{BASE}\r\n");
        assert!(matches!(Message::parse(text.as_bytes()), Err(ParseError::Discard(_))), "{line}");
    }
}

#[test]
fn what_cannot_be_answered_is_discarded() {
    for missing in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let headers: String = BASE.split_inclusive("\r\n").filter(|line| !line.starts_with(missing)).collect();
        let text = format!("X sip:a@b SIP/2.0\r\n{headers}\r\n");
        assert!(matches!(Message::parse(text.as_bytes()), Err(ParseError::Discard(Flaw::Missing(_)))), "{missing}");
    }
}

#[test]
fn keep_alives_and_other_protocols_are_told_apart() {
    for bytes in [&b""[..], b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"  \r\n"] {
        assert_eq!(Message::parse(bytes).err(), Some(ParseError::KeepAlive), "{bytes:?}");
    }
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"x", b"SSH-2.0-x\r\n", b"\x16\x03\x01\r\n", b"INVITE sip:a@b\r\n\r\n"]
    {
        assert_eq!(Message::parse(bytes).err(), Some(ParseError::NotSip), "{bytes:?}");
    }
}

#[test]
fn header_names_are_found_in_every_spelling() {
    let text = format!(
        "X sip:a@b SIP/2.0\r\n{BASE}sUbJeCt \t: one\r\ns:\r\n two\r\n  lines\r\nSupported: a, b,\r\nk: c\r\nX-Odd: \u{ff}\r\n\r\n"
    );
    let message = Message::parse(text.as_bytes()).unwrap();
    let subjects: Vec<_> = message.headers(&HeaderName::Subject).collect();
    assert_eq!(subjects, [&b"one"[..], b"two lines"]);
    let supported: Vec<_> = message.tokens(&HeaderName::Supported).unwrap().iter().map(Token::to_string).collect();
    assert_eq!(supported, ["a", "b", "c"]);
    assert_eq!(message.header(&HeaderName::new("x-odd").unwrap()).as_deref(), Some("\u{ff}".as_bytes()));
}

#[test]
fn seconds_do_not_wrap() {
    let seconds = |value: &str| {
        let text = format!("X sip:a@b SIP/2.0\r\n{BASE}Expires: {value}\r\n\r\n");
        Message::parse(text.as_bytes()).unwrap().seconds(&HeaderName::Expires)
    };
    assert_eq!(seconds("3600"), Ok(Some(3600)));
    assert_eq!(seconds("120;duration=5"), Ok(Some(120)));
    assert_eq!(seconds("120 (I'm in a meeting)"), Ok(Some(120)));
    assert_eq!(seconds("99999999999999999999999"), Ok(Some(u32::MAX)));
    assert_eq!(seconds("soon"), Err(BadHeader(HeaderName::Expires)));
}

#[test]
fn a_response_copies_what_the_rfc_says() {
    let text = format!(
        "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bKp\r\n{}Record-Route: <sip:p;lr>\r\nContact: <sip:a@h>\r\nTimestamp: 54\r\n\r\n",
        BASE.replace("1 X", "1 INVITE")
    );
    let message = Message::parse(text.as_bytes()).unwrap();
    let tag = Token::new("t").unwrap();

    let ringing = message.to_response(StatusCode::RINGING, Some(&tag));
    assert_eq!(
        String::from_utf8(ringing.to_bytes()).unwrap(),
        "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP p;branch=z9hG4bKp\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
         Record-Route: <sip:p;lr>\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=t\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
         Content-Length: 0\r\n\r\n"
    );

    let trying = message.to_response(StatusCode::TRYING, Some(&tag));
    assert_eq!((trying.to.tag(), trying.record_routes.len()), (None, 0));
    assert_eq!(trying.headers, [Header::new(HeaderName::Timestamp, HeaderValue::new("54").unwrap())]);
    assert!(message.to_response(StatusCode::BUSY_HERE, Some(&tag)).record_routes.is_empty());
}

#[test]
fn a_request_is_written_whole() {
    let uri = |user: &str| SipUri::new(Host::new("sw.example.com").unwrap()).with_user(user);
    let mut request = Request::new(
        Method::Invite,
        Uri::Sip(SipUri { headers: Vec::new(), ..uri("+1555").with_param("user", Some("phone")) }),
        NameAddr::new(uri("a")).with_display("A \"B\"").with_tag(&Token::hex(&[1, 0xab])),
        NameAddr::new(uri("b")),
        SipCallId::new("x@y").unwrap(),
        7,
    );
    request.vias = vec![Via::new(ViaTransport::Udp, Host::new("192.0.2.1").unwrap(), Some(5060), &Token::hex(&[0xff]))];
    request.contact = Some(NameAddr::new(uri("me")));
    // The second would be a second Content-Length: a field of its own, so not written from here.
    request.headers = vec![
        Header::new(HeaderName::Supported, [Token::new("timer").unwrap()].iter().collect::<HeaderValue>()),
        Header::new(HeaderName::ContentLength, 99),
    ];
    request.body = Some(Body::sdp(b"v=0\r\n".to_vec()));
    assert_eq!(
        String::from_utf8(request.to_bytes()).unwrap(),
        "INVITE sip:+1555@sw.example.com;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKff\r\n\
         Max-Forwards: 70\r\nFrom: \"A \\\"B\\\"\" <sip:a@sw.example.com>;tag=01ab\r\nTo: <sip:b@sw.example.com>\r\n\
         Call-ID: x@y\r\nCSeq: 7 INVITE\r\nContact: <sip:me@sw.example.com>\r\nSupported: timer\r\n\
         Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    );
    let message = request.to_bytes();
    assert_eq!(Message::parse(&message).unwrap().cseq(), CSeq { number: 7, method: Method::Invite });
}

#[test]
fn a_header_value_with_a_line_break_cannot_be_made() {
    for text in ["a\r\nX: y", "a\nb", "a\0b", "\u{1b}[2J", "\u{85}"] {
        assert!(HeaderValue::new(text).is_err());
        assert!(HeaderValue::new(HeaderValue::cleaned(text).as_str()).is_ok());
    }
    assert!(SipCallId::new("a b").is_err() && SipCallId::new("").is_err());
    assert!(SipCallId::new(&"x".repeat(limits::MAX_CALL_ID_BYTES + 1)).is_err());
    assert!(Token::new("").is_err() && Token::new("a b").is_err());
}

#[test]
fn unknown_codes_stand_for_their_class() {
    assert_eq!(StatusCode::new(499).unwrap().class_default(), StatusCode::BAD_REQUEST);
    assert_eq!(StatusCode::new(199).unwrap().class_default(), StatusCode::SESSION_PROGRESS);
    assert!(StatusCode::new(99).is_err() && StatusCode::new(700).is_err());
}
