use serde_json::{Map, Value};
use tandem_model::AccountId;

/// What was done to what, as the audit log tells it. Secrets must not be in it, in whatever form.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whose log it goes into; [`NODE`] for what belongs to no account.
    pub account: AccountId,
    /// What was done: the kind of thing, a dot, and a verb, as in `trunk.create`.
    pub action: &'static str,
    /// The id of the thing.
    pub resource: String,
    /// The fields that changed or went away, as they were.
    pub before: Map<String, Value>,
    /// The fields that changed or came, as they are.
    pub after: Map<String, Value>,
    /// Numbers of earlier entries of the same log whose details this act takes away.
    pub(crate) redacts: Vec<u64>,
}

impl Change {
    /// Something was done that changes no fields.
    #[must_use]
    pub fn new(account: AccountId, action: &'static str, resource: &(impl ToString + ?Sized)) -> Self {
        let resource = resource.to_string();
        Self { account, action, resource, before: Map::new(), after: Map::new(), redacts: Vec::new() }
    }

    /// The thing came into being, with these fields: an object, of which those that are `null` are left out.
    #[must_use]
    pub fn made(mut self, fields: Value) -> Self {
        self.after = object(fields);
        self.after.retain(|_, value| !value.is_null());
        self
    }

    /// The thing went away; these fields it had.
    #[must_use]
    pub fn gone(mut self, fields: Value) -> Self {
        self.before = object(fields);
        self.before.retain(|_, value| !value.is_null());
        self
    }

    /// The thing was this and is that; fields that stay the same are left out.
    #[must_use]
    pub fn changed(mut self, before: Value, after: Value) -> Self {
        let (mut before, mut after) = (object(before), object(after));
        before.retain(|field, value| {
            let same = after.get(field) == Some(&*value);
            if same {
                after.remove(field);
            }
            !same
        });
        (self.before, self.after) = (before, after);
        self
    }

    /// Whether a field was replaced of which nothing else may be said: a secret, or what is the client's own.
    #[must_use]
    pub fn replaced(mut self, field: &str, replaced: bool) -> Self {
        if replaced {
            self.after.insert(field.to_owned(), "replaced".into());
        }
        self
    }

    /// The kind of the thing.
    pub(crate) fn resource_type(&self) -> &'static str {
        self.action.split_once('.').map_or(self.action, |(kind, _)| kind)
    }

    /// What is kept of the fields: JSON with sorted keys.
    pub(crate) fn details(&self) -> String {
        let side = |fields: &Map<String, Value>| Value::Object(fields.clone());
        let mut details = Map::new();
        if !self.before.is_empty() {
            details.insert("before".to_owned(), side(&self.before));
        }
        if !self.after.is_empty() {
            details.insert("after".to_owned(), side(&self.after));
        }
        Value::Object(details).to_string()
    }
}

fn object(fields: Value) -> Map<String, Value> {
    let Value::Object(fields) = fields else {
        return Map::from_iter([("value".to_owned(), fields)]);
    };
    fields
}

/// Whose log has what belongs to no account: keys, backups, the beginnings of the other logs.
pub const NODE: AccountId = AccountId::from_uuid(uuid::Uuid::nil());

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_changed_is_told() {
        let change = Change::new(NODE, "thing.update", "7");
        let change = change.changed(json!({"a": 1, "b": 2, "c": 3}), json!({"a": 1, "b": 4, "d": 5}));
        assert_eq!(change.details(), r#"{"after":{"b":4,"d":5},"before":{"b":2,"c":3}}"#);
        assert_eq!(change.resource_type(), "thing");
    }

    #[test]
    fn of_a_secret_only_that_it_was_replaced_is_told() {
        let change = |replaced| Change::new(NODE, "thing.update", "7").replaced("password", replaced).details();
        assert_eq!([change(true), change(false)], [r#"{"after":{"password":"replaced"}}"#, "{}"]);
    }
}
