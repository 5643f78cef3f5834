use crate::text_enum::text_enum;
use std::fmt;
use std::str::FromStr;

text_enum! {
    /// What a user may do in an account.
    pub enum Role, error ParseRoleError("role") {
        /// Everything.
        Admin = "admin",
        /// Look, place and end calls, change trunks.
        Operator = "operator",
        /// Look.
        Viewer = "viewer",
    }
}

text_enum! {
    /// One thing that an endpoint asks of its caller, and that a key may be limited to.
    pub enum Permission, error ParsePermissionError("scope") {
        /// Look at everything but users, keys and their doings.
        Read = "read",
        /// Place calls, end them, and log those that something else carries.
        Calls = "calls",
        /// Make, change and remove trunks, numbers and routes.
        Write = "write",
        /// Users, keys, and what they did.
        Admin = "admin",
    }
}

impl Role {
    /// What the role may do.
    #[must_use]
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::Admin => Permissions::ALL,
            Self::Operator => Permissions::of(&[Permission::Read, Permission::Calls, Permission::Write]),
            Self::Viewer => Permissions::of(&[Permission::Read]),
        }
    }
}

impl Permission {
    const fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Calls => 1 << 1,
            Self::Write => 1 << 2,
            Self::Admin => 1 << 3,
        }
    }
}

/// A set of permissions. None implies another: a key that may only place calls cannot look at them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Permissions(u8);

impl Permissions {
    /// Every permission.
    pub const ALL: Self = Self::of(Permission::ALL);

    /// Just these.
    #[must_use]
    pub const fn of(permissions: &[Permission]) -> Self {
        let (mut bits, mut rest) = (0, permissions);
        while let [first, others @ ..] = rest {
            bits |= first.bit();
            rest = others;
        }
        Self(bits)
    }

    /// Whether it holds this one.
    #[must_use]
    pub const fn allow(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// The first of the others that it lacks: nobody gives away what they do not have.
    #[must_use]
    pub fn first_missing(self, others: Self) -> Option<Permission> {
        others.iter().find(|permission| !self.allow(*permission))
    }

    /// Each that it holds, in order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.allow(*permission))
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

impl fmt::Display for Permissions {
    /// Their spellings with a space between them, as OAuth writes scopes (RFC 6749 §3.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Permission::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permissions({self})")
    }
}

impl FromStr for Permissions {
    type Err = ParsePermissionError;

    /// Reads what `Display` writes; words may be separated by commas, too.
    fn from_str(text: &str) -> Result<Self, ParsePermissionError> {
        text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_hold_what_the_documentation_says() {
        assert_eq!(Role::Viewer.permissions().to_string(), "read");
        assert_eq!(Role::Operator.permissions().to_string(), "read calls write");
        assert_eq!(Role::Admin.permissions(), Permissions::ALL);
        assert_eq!(Permissions::ALL.iter().count(), Permission::ALL.len());
    }

    #[test]
    fn reads_back_what_it_writes() {
        for bits in 0..16 {
            let permissions = Permissions(bits);
            assert_eq!(permissions.to_string().parse(), Ok(permissions));
        }
        assert_eq!("calls,read".parse(), Ok(Permissions::of(&[Permission::Read, Permission::Calls])));
        assert!("read everything".parse::<Permissions>().is_err());
    }

    #[test]
    fn names_what_is_missing() {
        let keeper = Permissions::of(&[Permission::Read, Permission::Admin]);
        assert_eq!(keeper.first_missing(Role::Viewer.permissions()), None);
        assert_eq!(keeper.first_missing(Permissions::ALL), Some(Permission::Calls));
    }
}
