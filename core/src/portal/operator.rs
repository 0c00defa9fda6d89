use std::fmt;

use crate::error::{Error, Result};
use crate::scope::Tenant;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// See the list of contacts, and of one contact everything but what was written.
    SeeContacts,
    /// See figures.
    SeeFigures,
    /// Read what was written.
    ReadMessages,
    /// Answer, and close conversations.
    Answer,
    /// Write notes, and block.
    Annotate,
    /// Take data out.
    Export,
    /// Erase.
    Erase,
    /// Read what operators did.
    ReadAudit,
}

/// What an operator is there for; each role has what the one before it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Sees who is there, and not what they wrote.
    Viewer,
    /// Talks with visitors.
    Agent,
    /// Answers for the data: exports and erases it, and reads what operators did.
    PrivacyOfficer,
}

impl Role {
    /// Whether it comes with a permission.
    #[must_use]
    pub const fn may(self, permission: Permission) -> bool {
        let least = match permission {
            Permission::SeeContacts | Permission::SeeFigures => Self::Viewer,
            Permission::ReadMessages | Permission::Answer | Permission::Annotate => Self::Agent,
            Permission::Export | Permission::Erase | Permission::ReadAudit => Self::PrivacyOfficer,
        };
        self as u8 >= least as u8
    }

    /// Its name in settings: `viewer`, `agent`, `privacy-officer`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::PrivacyOfficer => "privacy-officer",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Viewer, Self::Agent, Self::PrivacyOfficer].into_iter().find(|role| role.as_str() == name)
    }
}

/// Somebody of a tenant's who works with its contacts: whoever the app's guard says is asking. One credential is of one
/// tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    tenant: Tenant,
    name: String,
    role: Role,
}

/// The longest name of an operator, in bytes.
const MAX_NAME: usize = 64;

impl Operator {
    /// An operator, by the name that is written down with what they do: a login, not an address.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is empty, longer than 64 bytes, or holds control characters.
    pub fn new(tenant: Tenant, name: impl Into<String>, role: Role) -> Result<Self> {
        let name = name.into();
        if name.trim().is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(Error::invalid(
                "this is no name of an operator",
                "give 1 to 64 bytes of printable text",
            ));
        }
        Ok(Self { tenant, name, role })
    }

    /// Whose contacts they work with.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Their name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What they are there for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether they may do something.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.role.may(permission)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
