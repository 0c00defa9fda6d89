use std::fmt;
use std::marker::PhantomData;

use cookie::Cookie;

use super::Visit;
use super::judge::same_site;
use crate::catalogue::{CategoryCode, StorageKind, category_id};
use crate::consent::{Decision, RecordId};
use crate::error::{Error, Result};
use crate::scope::Scope;
use crate::store::ConsentProof;

/// A category as a type: the `C` of [`Granted<C>`]. The built-in ones are here; an app's own is made with
/// [`category!`](crate::category).
pub trait ConsentCategory: Send + Sync + 'static {
    /// The category's id in the catalogue.
    const ID: &'static str;
}

/// Makes a type for a category of the app's own.
///
/// ```
/// privet::category! {
///     /// The weekly letter.
///     pub Newsletter = "newsletter"
/// }
/// # use privet::ConsentCategory;
/// assert_eq!(Newsletter::ID, "newsletter");
/// ```
#[macro_export]
macro_rules! category {
    ($(#[$doc:meta])* $vis:vis $name:ident = $id:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        $vis enum $name {}

        impl $crate::ConsentCategory for $name {
            const ID: &'static str = $id;
        }
    };
}

category! {
    /// The built-in category `functional`.
    pub Functional = "functional"
}
category! {
    /// The built-in category `analytics`.
    pub Analytics = "analytics"
}
category! {
    /// The built-in category `marketing`.
    pub Marketing = "marketing"
}
category! {
    /// The category `contacts`: being recognised in the contact list.
    pub Contacts = "contacts"
}

category! {
    /// The category `identity`: being known in the contact list as whom the app knows the visitor as. No category of privet's
    /// own: a site that wants it declares it, with a code of its own.
    pub Identity = "identity"
}

const _: () = assert!(matches!(Contacts::ID.as_bytes(), b"contacts") && category_id::CONTACTS.len() == 8);

/// That the visitor grants a category: the only key to what needs it. It can only be made from a [`Visit`], and
/// opens nothing once the response head is sealed. A store that is given it checks the record again.
///
/// ```compile_fail
/// // There is no way to one without a visit.
/// let granted = privet::Granted::<privet::Analytics> { };
/// ```
pub struct Granted<C> {
    visit: Visit,
    record: RecordId,
    code: CategoryCode,
    category: PhantomData<fn() -> C>,
}

impl<C> Clone for Granted<C> {
    fn clone(&self) -> Self {
        Self { visit: self.visit.clone(), record: self.record, code: self.code, category: PhantomData }
    }
}

impl<C: ConsentCategory> fmt::Debug for Granted<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Granted({})", C::ID)
    }
}

impl Visit {
    /// The key to what needs a category, if the visitor grants it. Asking makes the response private to the
    /// visitor.
    ///
    /// # Errors
    /// [`Error::UnknownCategory`] when the catalogue does not have it, [`Error::NotGranted`], and
    /// [`Error::HeadSent`] after the response head was sealed.
    pub fn granted<C: ConsentCategory>(&self) -> Result<Granted<C>> {
        self.still_open()?;
        let code = self.category(C::ID)?.code;
        match (self.consent().decision(C::ID), self.record_of(code)) {
            (Decision::Granted, Some(record)) => {
                Ok(Granted { visit: self.clone(), record, code, category: PhantomData })
            }
            _ => Err(Error::not_granted(C::ID)),
        }
    }
}

impl<C: ConsentCategory> Granted<C> {
    /// Tenant and site.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.visit.scope()
    }

    /// The record that it stands on. Work that is queued keeps this and asks
    /// [`Privet::still_granted`](crate::Privet::still_granted) when it runs.
    #[must_use]
    pub fn record(&self) -> RecordId {
        self.record
    }

    /// The visit it was made from.
    #[must_use]
    pub fn visit(&self) -> &Visit {
        &self.visit
    }

    /// The visitor may have withdrawn it in this very request.
    fn still_granted(&self) -> Result<()> {
        self.visit.still_open()?;
        let granted = self.visit.standing().granted & self.code.bit() != 0;
        if granted { Ok(()) } else { Err(Error::not_granted(C::ID)) }
    }

    /// What a store takes.
    ///
    /// # Errors
    /// [`Error::NotGranted`] after a withdrawal in this visit, [`Error::HeadSent`] after the response head was
    /// sealed.
    pub fn proof(&self) -> Result<ConsentProof> {
        self.still_granted()?;
        Ok(ConsentProof { scope: self.scope().clone(), record: self.record, category: self.code })
    }

    /// Sets a cookie of this category as the catalogue declares it: lifetime, path, domain and all.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is not declared under this category or the value cannot stand in a
    /// cookie, [`Error::NotGranted`] after a withdrawal in this visit, [`Error::HeadSent`] after the response head
    /// was sealed.
    pub fn set_cookie(&self, name: &str, value: &str) -> Result<()> {
        self.still_granted()?;
        let catalogue = self.visit.catalogue();
        let entry = catalogue.find_cookie(name.as_bytes()).map(|id| catalogue.entry(id));
        let entry = entry.filter(|e| e.gate.category() == Some(self.code) && e.storage == StorageKind::Cookie).ok_or_else(|| {
            Error::invalid(
                format!("cookie `{}` is not declared under `{}`", name.escape_default(), C::ID),
                format!("declare it with `gate = {{ consent = \"{}\" }}`, or take the `Granted` of its category", C::ID),
            )
        })?;
        let in_value = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'\\');
        if !value.bytes().all(in_value) {
            return Err(Error::invalid(
                "the value cannot stand in a cookie",
                "encode it, for instance as base64url (RFC 6265, section 4.1.1)",
            ));
        }
        let mut cookie = Cookie::build((name, value))
            .path(entry.paths.first().map_or("/", String::as_str))
            .secure(self.visit.site().secure)
            .http_only(entry.http_only)
            .same_site(same_site(entry.same_site))
            .partitioned(entry.partitioned);
        if let Some(domain) = entry.domains.first() {
            cookie = cookie.domain(domain);
        }
        if let Some(life) = entry.lifetime.exactly() {
            cookie = cookie.max_age(time::Duration::try_from(life).unwrap_or(time::Duration::MAX));
        }
        let line = cookie.build().to_string();
        self.visit.live().set.push((self.code, line));
        Ok(())
    }
}
