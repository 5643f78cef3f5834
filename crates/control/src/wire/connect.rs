use crate::wire::address::check_sip_uri;
use crate::wire::fields::{Fields, string_of};
use crate::wire::number::number_of;
use serde_json::Value;
use tandem_model::Connect;

/// Whose call it is that somebody is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CalledBy {
    /// We placed it.
    Us,
    /// It came in.
    Peer,
}

/// Reads `connect`. `None` only when an error was noted.
pub(crate) fn read_connect(fields: &mut Fields, called_by: CalledBy) -> Option<Connect> {
    let kind = fields.read("type", |value| string_of(value).map(str::to_owned));
    let kind = fields.require("type", kind)?;
    let known = match called_by {
        CalledBy::Us => "echo, play, sip or number",
        CalledBy::Peer => "echo, play, sip, number or forward",
    };
    match kind.as_str() {
        "echo" => Some(Connect::Echo),
        "play" => {
            let tone = fields.read("tone", tone_of);
            fields.require("tone", tone).map(|tone| Connect::Play { tone })
        }
        "sip" => {
            let uri = fields.read("uri", |value| {
                let uri = string_of(value)?;
                check_sip_uri(uri).map(|()| uri.to_owned())
            });
            fields.require("uri", uri).map(|uri| Connect::Sip { uri })
        }
        "number" => {
            let number = fields.read("number", |value| number_of(string_of(value)?));
            fields.require("number", number).map(|number| Connect::Number { number })
        }
        "forward" if called_by == CalledBy::Peer => Some(Connect::Forward),
        "forward" => {
            fields.refuse("type", "forward dials on what a call that came in had called; here, name the number");
            fields.take_remaining();
            None
        }
        "stream" | "browser" => {
            fields.refuse("type", format!("{kind} is not built yet; this build knows {known}"));
            fields.take_remaining();
            None
        }
        _ => {
            fields.refuse("type", format!("must be {known}"));
            fields.take_remaining();
            None
        }
    }
}

fn tone_of(value: &Value) -> Result<String, String> {
    let tone = string_of(value)?;
    Connect::parse_tone(tone).map(|_| tone.to_owned()).map_err(|error| error.to_string())
}
