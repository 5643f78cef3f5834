use crate::service::PASSWORD_LENGTH;
use crate::wire::fields::{Fields, Invalid, UnknownFields, string_of, text_of};
use serde_json::{Map, Value};
use tandem_model::{Permission, Permissions, Role, Secret, Timestamp};

/// An API key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) scopes: Permissions,
    pub(crate) expires_at: Option<Timestamp>,
}

/// A user to be added.
#[derive(Clone, Debug)]
pub(crate) struct NewUser {
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    pub(crate) role: Role,
    pub(crate) password: Option<Secret>,
}

/// A change of a user; `None` leaves a field.
#[derive(Clone, Debug)]
pub(crate) struct UserEdit {
    pub(crate) name: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) password: Option<Secret>,
}

/// A change of one's own password.
#[derive(Clone, Debug)]
pub(crate) struct PasswordChange {
    pub(crate) current: Secret,
    pub(crate) new: Secret,
}

/// What somebody signs in with.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    Password { email: String, password: Secret },
    Link(Secret),
}

/// A refresh token.
#[derive(Clone, Debug)]
pub(crate) struct Refresh(pub(crate) Secret);

impl NewKey {
    /// Reads the body of `POST /api-keys`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, Self::read)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.read("name", name_of);
        let name = fields.require("name", name);
        let scopes = fields.list("scopes", Permission::ALL.len(), |value| {
            string_of(value)?.parse::<Permission>().map_err(|error| error.to_string())
        });
        let scopes: Option<Permissions> = fields.require("scopes", scopes).map(|scopes| scopes.into_iter().collect());
        if scopes.is_some_and(Permissions::is_empty) {
            fields.refuse("scopes", "must have at least one");
        }
        let expires_at = fields.choice("expires_at").value();
        Some(Self { name: name?, scopes: scopes?, expires_at })
    }
}

impl NewUser {
    /// Reads the body of `POST /users`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, Self::read)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let email = fields.read("email", email_of);
        let email = fields.require("email", email);
        let name = fields.read("name", name_of).value();
        let role = fields.choice("role");
        let role = fields.require("role", role);
        let password = fields.read("password", new_password_of).value();
        Some(Self { email: email?, name, role: role?, password })
    }
}

impl UserEdit {
    /// Reads the body of `PATCH /users/{id}`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, |fields| Some(Self::read(fields)))
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        let name = fields.read("name", name_of);
        let role = fields.choice("role");
        let password = fields.read("password", new_password_of);
        Self {
            name: fields.not_null("name", name),
            role: fields.not_null("role", role),
            password: fields.not_null("password", password),
        }
    }
}

impl PasswordChange {
    /// Reads the body of `PUT /users/current/password`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, Self::read)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let current = fields.read("current_password", secret_of);
        let current = fields.require("current_password", current);
        let new = fields.read("new_password", new_password_of);
        let new = fields.require("new_password", new);
        Some(Self { current: current?, new: new? })
    }
}

impl Credentials {
    /// Reads the body of `POST /sessions`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, Self::read)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let link = fields.read("link_token", secret_of).value();
        // What is no address is nobody's: the same answer as for a wrong password, and not one about the field.
        let email = fields.text("email", 1..=MAX_EMAIL_CHARACTERS);
        let password = fields.read("password", secret_of);
        if let Some(link) = link {
            for (name, is_there) in [("email", email.value().is_some()), ("password", password.value().is_some())] {
                if is_there {
                    fields.refuse(name, "does not go together with link_token");
                }
            }
            return Some(Self::Link(link));
        }
        let email = fields.require("email", email);
        let password = fields.require("password", password);
        Some(Self::Password { email: email?, password: password? })
    }
}

impl Refresh {
    /// Reads the body of `POST /sessions/refresh`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, Self::read)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let token = fields.read("refresh_token", secret_of);
        fields.require("refresh_token", token).map(Self)
    }
}

pub(super) fn strictly<T>(body: Map<String, Value>, read: impl FnOnce(&mut Fields) -> Option<T>) -> Result<T, Invalid> {
    let mut fields = Fields::new(body, UnknownFields::Refuse);
    let value = read(&mut fields);
    fields.finish(value).map(|parsed| parsed.value)
}

/// A name for people: on one line, without white space around it.
fn name_of(value: &Value) -> Result<String, String> {
    let name = text_of(value, &(1..=MAX_NAME_CHARACTERS))?;
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err("must have no white space around it and no control characters".to_owned());
    }
    Ok(name)
}

/// In lower case. What cannot be an address is refused; whether mail arrives there, only mail can tell.
pub(super) fn email_of(value: &Value) -> Result<String, String> {
    let email = text_of(value, &(1..=MAX_EMAIL_CHARACTERS))?;
    let is_plain = !email.chars().any(|character| character.is_whitespace() || character.is_control());
    match email.split_once('@') {
        Some((local, domain)) if is_plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {
            Ok(email.to_lowercase())
        }
        Some(_) | None => Err("must be an e-mail address".to_owned()),
    }
}

/// A password to be set.
fn new_password_of(value: &Value) -> Result<Secret, String> {
    text_of(value, &PASSWORD_LENGTH).map(Secret::new)
}

/// A password or token to be looked at: whatever it is, only its length is bounded.
fn secret_of(value: &Value) -> Result<Secret, String> {
    text_of(value, &(1..=MAX_SECRET_CHARACTERS)).map(Secret::new)
}

/// As for trunks.
const MAX_NAME_CHARACTERS: usize = 100;
/// RFC 5321 §4.5.3.1.3 allows a path of 256 with its angle brackets.
const MAX_EMAIL_CHARACTERS: usize = 254;
/// Longer ones are none of ours.
const MAX_SECRET_CHARACTERS: usize = 512;
