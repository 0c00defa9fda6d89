//! The list, and one contact.

use serde::Serialize;

use super::{Permission, Portal, Verb};
use crate::clock::{Timestamp, as_rfc3339};
use crate::consent::ConsentRecord;
use crate::contact::{
    CappedCount, Contact, ContactFilter, ContactId, ContactPage, ContactSummary, Conversation,
    ConversationId, Field, NoteId, Owner, PageRequest, PageUrl, Removed, SubjectKey, TimeSpan,
};
use crate::error::{Error, Result};
use crate::privet::Privet;
use crate::scope::Scope;
use crate::store::{ContactCursor, ContactQuery, ErasureCause, StoredNote, SubjectDigest};
use crate::visit::{ConsentCategory, Identity};

/// So many conversations of a contact are shown.
const SHOWN_CONVERSATIONS: u16 = 100;
/// So many of those with a name are looked at in a row.
const COUNTED: u16 = 100;
/// The longest note, in bytes.
const MAX_NOTE: usize = 4 * 1024;

/// An operator's note on a contact.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Note {
    /// Its id.
    pub id: NoteId,
    /// When it was written.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: Timestamp,
    /// Who wrote it.
    pub author: String,
    /// What was written.
    pub text: String,
}

/// Without the text, which is about a visitor.
impl std::fmt::Debug for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Note").field("id", &self.id).field("at", &self.at).finish_non_exhaustive()
    }
}

/// Everything that the portal shows of a contact.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ContactDetails {
    /// The contact.
    pub contact: Contact,
    /// What the app knows it as, for those who may read messages.
    pub identity: Option<String>,
    /// What is recorded of its consent, the oldest first.
    pub history: Vec<ConsentRecord>,
    /// Its conversations, the latest first: at most 100.
    pub conversations: Vec<Conversation>,
    /// The pages that its latest conversations were held from, each once, for those who may read messages.
    pub pages: Vec<(ConversationId, Vec<PageUrl>)>,
    /// Notes on it, the oldest first, for those who may read messages.
    pub notes: Vec<Note>,
}

/// Of so many conversations the pages are shown.
const SHOWN_PAGES: usize = 20;

impl Privet {
    /// The notes on a contact, opened.
    pub(crate) async fn notes_on(&self, scope: &Scope, contact: &Contact) -> Result<Vec<Note>> {
        let horizon = self.horizon(&scope.tenant, self.now()).await?;
        let stored = self.store().notes(scope, contact.id, &horizon).await?;
        if stored.is_empty() {
            return Ok(Vec::new());
        }
        let Some(key) = self.keys().existing_subject_key(&scope.tenant, contact.subject).await? else {
            return Ok(Vec::new());
        };
        stored.into_iter().map(|note| open_note(scope, &key, note)).collect()
    }

    /// What the app knows a contact as.
    pub(crate) async fn identity_of(&self, scope: &Scope, contact: &Contact) -> Result<Option<String>> {
        let Some(identity) = &contact.identity else { return Ok(None) };
        // Agreed to for something else than is done today, it is shown to nobody.
        let site = self.site(scope)?;
        let Some(code) = site.catalogue.category(<Identity as ConsentCategory>::ID).map(|c| c.code) else {
            return Ok(None);
        };
        let latest = self.store().latest_record(scope, contact.consent).await?;
        let stands = latest.is_some_and(|r| {
            r.grants(code, self.now())
                && r.fingerprint_of(code).is_some_and(|fingerprint| site.stands_for_code(code, fingerprint))
        });
        if !stands {
            return Ok(None);
        }
        let key = self.keys().existing_subject_key(&scope.tenant, contact.subject).await?;
        let id = contact.id.as_bytes();
        key.map(|key| key.open(scope, id, Field::Identity, &identity.sealed)).transpose()
    }
}

fn open_note(scope: &Scope, key: &SubjectKey, note: StoredNote) -> Result<Note> {
    let text = key.open(scope, note.contact.as_bytes(), Field::Note, &note.body)?;
    Ok(Note { id: note.id, at: note.at, author: note.author, text })
}

impl Portal {
    async fn contact_digest(&self, id: ContactId) -> Result<Option<SubjectDigest>> {
        self.privet.keys().contact_digest(&self.scope.tenant, id).await.map(Some)
    }

    /// A page of the list, most recent activity first.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::Invalid`] for a cursor that is not of this list, or what the store says.
    pub async fn contacts(&self, page: &PageRequest) -> Result<ContactPage> {
        self.asks(Permission::SeeContacts, Verb::ListContacts, None).await?;
        let mut found = self.privet.contacts(&self.scope, page).await?;
        if page.filter.identity.is_some() {
            found.contacts = self.known(found.contacts).await?;
        }
        Ok(found)
    }

    /// One name, few contacts: those that may be shown under it are counted one by one.
    async fn count_known(&self, filter: &ContactFilter, as_of: Timestamp, cap: u32) -> Result<CappedCount> {
        let horizon = self.privet.horizon(&self.scope.tenant, self.privet.now()).await?;
        let (mut count, mut after) = (0, None);
        while count <= cap {
            let query = ContactQuery::first(COUNTED).only(filter.clone()).as_of(as_of).after(after);
            let page = self.privet.store().contacts(&self.scope, &query, &horizon).await?;
            let Some(last) = page.last() else { break };
            after = Some(ContactCursor { last_seen: last.last_seen, id: last.id });
            count += u32::try_from(self.known(page).await?.len()).unwrap_or(0);
        }
        Ok(CappedCount { count: count.min(cap), more: count > cap })
    }

    /// Those of them that may be known by a name.
    async fn known(&self, contacts: Vec<ContactSummary>) -> Result<Vec<ContactSummary>> {
        let horizon = self.privet.horizon(&self.scope.tenant, self.privet.now()).await?;
        let mut known = Vec::new();
        for listed in contacts {
            let there = self.privet.store().contact(&self.scope, listed.id, &horizon).await?;
            if let Some(contact) = there
                && self.privet.identity_of(&self.scope, &contact).await?.is_some()
            {
                known.push(listed);
            }
        }
        Ok(known)
    }

    /// How many contacts meet a filter, counted up to a bound. It is asked with a page of the list, and logged with that.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], or what the store says.
    pub async fn count_contacts(
        &self,
        filter: &ContactFilter,
        as_of: Timestamp,
        cap: u32,
    ) -> Result<CappedCount> {
        if !self.operator.may(Permission::SeeContacts) {
            self.asks(Permission::SeeContacts, Verb::ListContacts, None).await?;
        }
        if filter.identity.is_some() {
            return self.count_known(filter, as_of, cap).await;
        }
        self.privet.count_contacts(&self.scope, filter, as_of, cap).await
    }

    /// The condition that the app knows a contact by this name, for those who may read messages.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], which is logged, or what the stores say.
    pub async fn known_as(&self, filter: ContactFilter, identity: &str) -> Result<ContactFilter> {
        if !self.operator.may(Permission::ReadMessages) {
            self.asks(Permission::ReadMessages, Verb::ListContacts, None).await?;
        }
        let digest = self.privet.keys().identity_digest(&self.scope, identity).await?;
        Ok(ContactFilter { identity: Some(digest), ..filter })
    }

    /// One contact.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn contact(&self, id: ContactId) -> Result<ContactDetails> {
        let now =
            self.asks(Permission::SeeContacts, Verb::SeeContact, self.contact_digest(id).await?).await?;
        let (privet, scope) = (&self.privet, &self.scope);
        let contact = privet.contact(scope, id).await?;
        let horizon = privet.horizon(&scope.tenant, now).await?;
        let owner = Owner::Contact(id);
        let reads = self.operator.may(Permission::ReadMessages);
        let conversations = privet.store().conversations(scope, owner, SHOWN_CONVERSATIONS, &horizon).await?;
        let mut pages = Vec::new();
        for conversation in conversations.iter().filter(|_| reads).take(SHOWN_PAGES) {
            let mut of_one: Vec<PageUrl> = Vec::new();
            for page in
                privet.read_conversation(scope, conversation, now).await?.into_iter().filter_map(|m| m.page)
            {
                if !of_one.contains(&page) {
                    of_one.push(page);
                }
            }
            pages.push((conversation.id, of_one));
        }
        Ok(ContactDetails {
            pages,
            identity: if reads { privet.identity_of(scope, &contact).await? } else { None },
            history: privet.store().line(scope, contact.consent).await?,
            conversations,
            notes: if reads { privet.notes_on(scope, &contact).await? } else { Vec::new() },
            contact,
        })
    }

    /// What an erasure of a contact would take away; its consent records stay, cut from the person.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn preview_erasure(&self, id: ContactId) -> Result<Removed> {
        let digest = self.contact_digest(id).await?;
        let now = self.asks(Permission::Erase, Verb::PreviewErasure, digest).await?;
        let horizon = self.privet.horizon(&self.scope.tenant, now).await?;
        let contents = self.privet.store().contact_contents(&self.scope, id, &horizon).await?;
        contents.ok_or(Error::NotFound { what: "contact" })
    }

    /// Erases a contact; see [`Privet::erase_contact`].
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn erase_contact(&self, id: ContactId) -> Result<Removed> {
        self.asks(Permission::Erase, Verb::EraseContact, self.contact_digest(id).await?).await?;
        self.privet.erase_contact(&self.scope, id).await
    }

    /// Contacts that were not seen since an instant, counted up to a bound: what [`erase_stale`](Self::erase_stale) would
    /// take away.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], or what the store says.
    pub async fn preview_stale(&self, not_seen_since: Timestamp, cap: u32) -> Result<CappedCount> {
        let now = self.asks(Permission::Erase, Verb::PreviewErasure, None).await?;
        self.privet.count_contacts(&self.scope, &stale(not_seen_since), now, cap).await
    }

    /// Erases up to `max` contacts that were not seen since an instant, those that were seen the longest ago last. What was
    /// taken away.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], or what the store says; what was erased before that stays erased.
    pub async fn erase_stale(&self, not_seen_since: Timestamp, max: u16) -> Result<Removed> {
        self.asks(Permission::Erase, Verb::EraseStale, None).await?;
        // Who was seen since is not stale, also while that is still to be written.
        self.privet.flush().await?;
        let page = PageRequest::first(max).only(stale(not_seen_since));
        let mut removed = Removed::default();
        for contact in self.privet.contacts(&self.scope, &page).await?.contacts {
            match self.privet.contact(&self.scope, contact.id).await {
                Ok(there) if there.last_seen < not_seen_since => {}
                Ok(_) | Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            }
            let (cause, until) = (ErasureCause::Withdrawal, Privet::fence_until(self.privet.now()));
            let erasing =
                self.privet.store().begin_contact_erasure(&self.scope, contact.id, cause, until).await?;
            self.privet.touches().forget(&self.scope, contact.id);
            removed += self.privet.erase(erasing.as_slice()).await?;
        }
        Ok(removed)
    }

    /// Blocks a contact, so that nothing it writes is taken, or unblocks it.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn set_blocked(&self, id: ContactId, blocked: bool) -> Result<()> {
        let verb = if blocked { Verb::Block } else { Verb::Unblock };
        let now = self.asks(Permission::Annotate, verb, self.contact_digest(id).await?).await?;
        let horizon = self.privet.horizon(&self.scope.tenant, now).await?;
        let there = self.privet.store().set_blocked(&self.scope, id, blocked, &horizon).await?;
        if there { Ok(()) } else { Err(Error::NotFound { what: "contact" }) }
    }

    /// Writes a note on a contact. It is the visitor's to see (GDPR Art. 15), and goes with the contact.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], [`Error::Invalid`] for a note that is empty or longer than 4 KiB,
    /// [`Error::Conflict`] when the contact has [as many as it can have](crate::store::MAX_NOTES), or what the store says.
    pub async fn add_note(&self, id: ContactId, text: &str) -> Result<Note> {
        let now = self.asks(Permission::Annotate, Verb::AddNote, self.contact_digest(id).await?).await?;
        if text.trim().is_empty() || text.len() > MAX_NOTE {
            return Err(Error::invalid("the note is empty or longer than 4 KiB", "write a shorter one"));
        }
        let (privet, scope) = (&self.privet, &self.scope);
        let horizon = privet.horizon(&scope.tenant, now).await?;
        let contact = privet.contact(scope, id).await?;
        let key = privet.keys().subject_key(&scope.tenant, contact.subject).await?;
        let note = Note {
            id: NoteId::generate()?,
            at: now,
            author: self.operator.name().to_owned(),
            text: text.to_owned(),
        };
        let body = key.seal(scope, id.as_bytes(), Field::Note, text)?;
        let stored = StoredNote { id: note.id, contact: id, at: now, author: note.author.clone(), body };
        match privet.store().add_note(scope, &stored, &horizon).await {
            Ok(()) => Ok(note),
            Err(error @ Error::NotFound { .. }) => {
                // Erased in between: no key may stay behind.
                privet.ends_key_of_gone(scope, id, contact.subject).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a note away.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::NotFound`], or what the store says.
    pub async fn erase_note(&self, id: ContactId, note: NoteId) -> Result<()> {
        let now = self.asks(Permission::Annotate, Verb::EraseNote, self.contact_digest(id).await?).await?;
        let (privet, scope, gone) = (&self.privet, &self.scope, Error::NotFound { what: "note" });
        let horizon = privet.horizon(&scope.tenant, now).await?;
        if privet.store().notes(scope, id, &horizon).await?.iter().all(|there| there.id != note) {
            return Err(gone);
        }
        let digest = privet.keys().note_digest(&scope.tenant, note).await?;
        privet.ledger().append(&[privet.erased(scope, digest, ErasureCause::Request)]).await?;
        if privet.store().erase_note(scope, id, note).await? { Ok(()) } else { Err(gone) }
    }
}

fn stale(not_seen_since: Timestamp) -> ContactFilter {
    ContactFilter::default().last_seen(TimeSpan { from: None, before: Some(not_seen_since) })
}
