//! Who may sign in, and with which password.

use std::collections::BTreeMap;
use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use data_encoding::BASE64URL_NOPAD;
use privet::Tenant;
use privet::portal::{Operator, Role};

/// Operators by their names, each with the hash of a password.
#[derive(Clone, Default)]
pub struct Accounts(BTreeMap<String, Account>);

#[derive(Clone)]
struct Account {
    operator: Operator,
    /// As a PHC string.
    hash: String,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accounts({})", self.0.len())
    }
}

impl Accounts {
    /// Accounts as an environment variable has them: `name:role:tenant:hash`, with spaces between. Roles are `viewer`,
    /// `agent` and `privacy-officer`; an empty tenant is the only one. The hash is a PHC string of Argon2id, as
    /// `echo -n "$PASSWORD" | argon2 "$(openssl rand -hex 16)" -id -k 19456 -t 2 -p 1 -e` prints it.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without any of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut accounts = Self::default();
        for (n, account) in text.split_whitespace().enumerate() {
            let at = |what: &str| format!("operator {}: {what}", n + 1);
            let mut parts = account.splitn(4, ':');
            let (Some(name), Some(role), Some(tenant), Some(hash)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return Err(at("write name:role:tenant:hash"));
            };
            let role = Role::named(role).ok_or_else(|| at("the role is viewer, agent or privacy-officer"))?;
            let tenant = match tenant {
                "" => Tenant::default(),
                tenant => Tenant::new(tenant).map_err(|_| at("this is no name of a tenant"))?,
            };
            let operator = Operator::new(tenant, name, role).map_err(|_| at("this is no name"))?;
            if cost(hash).is_none() {
                return Err(at("the hash is no PHC string of Argon2id"));
            }
            accounts.add(operator, hash.to_owned()).map_err(|what| at(&what))?;
        }
        Ok(accounts)
    }

    /// One operator who may do everything, and a password that was drawn, to be shown once.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<(Self, String), String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|e| e.to_string())?;
        let password = BASE64URL_NOPAD.encode(&bytes);
        let operator = Operator::new(Tenant::default(), "operator", Role::PrivacyOfficer);
        let operator = operator.map_err(|e| e.to_string())?;
        Ok((Self::default().with(operator, &password)?, password))
    }

    /// With one more.
    ///
    /// # Errors
    /// When there is one of this name already, or the password cannot be hashed.
    pub fn with(mut self, operator: Operator, password: &str) -> Result<Self, String> {
        let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|e| e.to_string())?;
        self.add(operator, hash.to_string())?;
        Ok(self)
    }

    fn add(&mut self, operator: Operator, hash: String) -> Result<(), String> {
        // One cost for all: an unknown name has to take as long as any known one.
        if self.0.values().any(|other| cost(&other.hash) != cost(&hash)) {
            return Err("the hash has other parameters than the one before; use the same for all".to_owned());
        }
        match self.0.insert(operator.name().to_owned(), Account { operator, hash }) {
            None => Ok(()),
            Some(_) => Err("there is one of this name already".to_owned()),
        }
    }

    /// The operator with this name and password. It takes as long for a name that nobody has.
    pub(super) fn check(&self, name: &str, password: &str) -> Option<Operator> {
        let known = self.0.get(name);
        let account = known.or_else(|| self.0.values().next())?;
        let hash = PasswordHash::new(&account.hash).ok()?;
        let right = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
        (right && known.is_some()).then(|| account.operator.clone())
    }
}

/// What checking a password against a hash costs: memory, passes, lanes. None for what is no hash of Argon2id.
fn cost(hash: &str) -> Option<(u32, u32, u32)> {
    let hash = PasswordHash::new(hash).ok().filter(|h| h.algorithm == argon2::ARGON2ID_IDENT)?;
    hash.hash.as_ref()?;
    let params = argon2::Params::try_from(&hash).ok()?;
    Some((params.m_cost(), params.t_cost(), params.p_cost()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$4QmS8AJDnZD6d0zm6oYzx4Qa8kcSpy4PQz6Yq3XVfzI";

    #[test]
    fn the_right_password_of_the_right_name() {
        let (accounts, password) = Accounts::generate().unwrap();
        let operator = accounts.check("operator", &password).unwrap();
        assert_eq!((operator.name(), operator.role()), ("operator", Role::PrivacyOfficer));
        for (name, password) in [("operator", "wrong"), ("operator", ""), ("nobody", &password), ("", "")] {
            assert!(accounts.check(name, password).is_none());
        }
        assert!(Accounts::default().check("operator", "").is_none());
        assert_eq!(format!("{accounts:?}"), "Accounts(1)");
    }

    #[test]
    fn accounts_are_read_and_what_is_wrong_is_said_without_the_hash() {
        let of = |n: usize, hash: &str| format!("o{n}:agent:garden:{hash}");
        let accounts = Accounts::parse(&format!("{} {}", of(1, HASH), of(2, HASH))).unwrap();
        assert_eq!(accounts.0["o2"].operator.tenant(), &Tenant::new("garden").unwrap());
        assert!(Accounts::parse("").unwrap().0.is_empty());
        let other = HASH.replace("t=1", "t=2");
        for wrong in [
            "ann".to_owned(),
            format!("ann:chief:garden:{HASH}"),
            format!("ann:agent:two words:{HASH}"),
            format!(":agent:garden:{HASH}"),
            of(1, "secret"),
            of(1, &HASH.replace("argon2id", "argon2i")),
            of(1, "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA"),
            format!("{} {}", of(1, HASH), of(1, HASH)),
            format!("{} {}", of(1, HASH), of(2, &other)),
        ] {
            let said = Accounts::parse(&wrong).unwrap_err();
            assert!(!said.contains("argon2id$") && !said.contains("secret"), "{said}");
        }
    }
}
