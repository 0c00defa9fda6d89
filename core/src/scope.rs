//! Whose data it is: [`Tenant`] and [`Site`], the first columns of every key.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const MAX_LEN: usize = 64;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $default:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes 1 to 64 letters, digits, `.`, `_` or `-`.
            ///
            /// # Errors
            /// [`Error::Config`] when the name is empty, too long or holds another character.
            pub fn new(name: impl AsRef<str>) -> Result<Self> {
                let name = name.as_ref();
                let fits = (1..=MAX_LEN).contains(&name.len())
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
                if fits {
                    Ok(Self(name.into()))
                } else {
                    Err(Error::config(
                        concat!("a ", $what, " name is empty, longer than 64 characters, or holds a character other than letters, digits, `.`, `_`, `-`"),
                        concat!("give the ", $what, " a short plain name, such as `", $default, "`"),
                    ))
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default.into())
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(name: String) -> Result<Self> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

name_type! {
    /// One controller in the sense of GDPR Art. 4(7): a customer, a licence. The first column of every key;
    /// nothing that belongs to one tenant can be reached from another.
    Tenant, "tenant", "main"
}

name_type! {
    /// One of a tenant's projects: a web site with its own catalogue.
    Site, "site", "main"
}

/// Tenant and site together: what every unit of work of a store takes first.
///
/// ```
/// use privet::{Scope, Site, Tenant};
///
/// let scope = Scope::new(Tenant::new("acme")?, Site::new("shop")?);
/// assert_eq!(scope.to_string(), "acme/shop");
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Scope {
    /// The controller.
    pub tenant: Tenant,
    /// The site of that controller.
    pub site: Site,
}

impl Scope {
    /// A scope from its two parts.
    #[must_use]
    pub fn new(tenant: Tenant, site: Site) -> Self {
        Self { tenant, site }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["main", "acme-2", "a.b_c", &"x".repeat(64)] {
            assert_eq!(Tenant::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(65), "a\0"] {
            assert!(Tenant::new(bad).is_err(), "{bad:?} passed");
            assert!(Site::new(bad).is_err(), "{bad:?} passed");
        }
    }

    #[test]
    fn serde_checks_as_well() {
        assert!(serde_json::from_str::<Tenant>("\"a b\"").is_err());
        assert_eq!(serde_json::to_string(&Tenant::default()).unwrap(), "\"main\"");
    }
}
