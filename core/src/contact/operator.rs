//! The operator's side: the contact list, and erasing on request. Whoever calls has checked who asks.

use data_encoding::BASE64URL_NOPAD;

use super::id::{ContactId, ConversationId};
use super::model::{Contact, ContactSummary, Removed};
use super::query::{CappedCount, ContactFilter, ContactPage, PageRequest};
use crate::clock::Timestamp;
use crate::consent::{Act, ConsentRecord, Decision, Method};
use crate::error::{Error, Result};
use crate::privet::Privet;
use crate::scope::Scope;
use crate::store::{ContactCursor, ContactQuery, Direction, Erasing, ErasureCause};

impl Privet {
    /// Contacts of a site by most recent activity, for whoever may see them: the caller has checked that.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is not of this list, or what the store says.
    pub async fn contacts(&self, scope: &Scope, page: &PageRequest) -> Result<ContactPage> {
        let now = self.now();
        let limit = page.limit.clamp(1, 500);
        let place =
            page.cursor.as_deref().map(|text| self.read_cursor(scope, &page.filter, text)).transpose()?;
        // The first page is of everybody there is, also of whom an instance saw whose clock is ahead.
        let everybody = Timestamp::from_millis(i64::MAX);
        let (bound, towards) =
            place.as_ref().map_or((everybody, Direction::Older), |p| (p.as_of, p.direction));
        let after = place.map(|p| p.cursor);
        let query = ContactQuery::first(limit + 1)
            .only(page.filter.clone())
            .as_of(bound)
            .after(after)
            .towards(towards);
        let horizon = self.horizon(&scope.tenant, now).await?;
        let listing = self.store().contacts(scope, &query, &horizon);
        let (mut contacts, behind) = if page.filter.looks_for_somebody() {
            (listing.await?, None)
        } else {
            self.listed(listing).await?
        };
        let latest = contacts.first().map_or(now, |c| c.last_seen.max(now));
        let as_of = if after.is_some() { bound } else { latest };
        let more = contacts.len() > limit.into();
        if more {
            match towards {
                Direction::Older => contacts.truncate(limit.into()),
                // The one too many is the most recent.
                Direction::Newer => drop(contacts.remove(0)),
            }
        }
        let (newer, older) = match towards {
            Direction::Older => (after.is_some(), more),
            Direction::Newer => (more, true),
        };
        let cursor = |contact: Option<&ContactSummary>, direction| {
            contact.map(|c| {
                let cursor = ContactCursor { last_seen: c.last_seen, id: c.id };
                self.write_cursor(scope, &page.filter, &Place { cursor, as_of, direction })
            })
        };
        Ok(ContactPage {
            next: cursor(contacts.last().filter(|_| older), Direction::Older),
            previous: cursor(contacts.first().filter(|_| newer), Direction::Newer),
            contacts,
            as_of,
            behind,
        })
    }

    /// How many contacts of a site meet a filter, counted up to `cap`: for whoever may see them.
    ///
    /// # Errors
    /// What the store says.
    pub async fn count_contacts(
        &self,
        scope: &Scope,
        filter: &ContactFilter,
        as_of: Timestamp,
        cap: u32,
    ) -> Result<CappedCount> {
        let horizon = self.horizon(&scope.tenant, self.now()).await?;
        let count =
            self.store().count_contacts(scope, filter, as_of, cap.saturating_add(1), &horizon).await?;
        Ok(CappedCount { count: count.min(cap), more: count > cap })
    }

    /// One contact, for whoever may see it.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn contact(&self, scope: &Scope, id: ContactId) -> Result<Contact> {
        let horizon = self.horizon(&scope.tenant, self.now()).await?;
        self.store().contact(scope, id, &horizon).await?.ok_or(Error::NotFound { what: "contact" })
    }

    /// Erases a contact with its conversations and messages, because somebody asked for it. The consent it hung
    /// on ends with it: the visitor is asked again before a new contact comes to be. What is recorded of that consent
    /// stays, cut from the person: nobody can tell any more whose it was ([`Removed::severed`]), and the chain of records
    /// stays whole.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says. From the moment the store has marked it, it is hidden and
    /// fenced, and a sweep ends what was interrupted.
    pub async fn erase_contact(&self, scope: &Scope, id: ContactId) -> Result<Removed> {
        let now = self.now();
        let contact = self.contact(scope, id).await?;
        self.touches().forget(scope, id);
        let latest = self.store().latest_record(scope, contact.consent).await?;
        let (mut erasing, refusals) = match latest {
            Some(latest) => {
                let refusals = self.refusals_of_account(scope, &latest, now).await?;
                (self.revoke_contacts(scope, &latest, now).await?, refusals)
            }
            None => (Vec::new(), None),
        };
        // The record marks every contact of its line; one without a record is marked here.
        erasing.extend(
            self.store()
                .begin_contact_erasure(scope, id, ErasureCause::Request, Self::fence_until(now))
                .await?,
        );
        if let Some(refusals) = refusals {
            // Cut from its records, the account would have forgotten what it refused. It comes before the erasure, which
            // somebody else may end: what is cut ends with the revocation.
            let site = self.site(scope)?;
            self.append_to_line(site, refusals, None, None).await?;
        }
        self.erase(&erasing).await
    }

    /// What an account goes on refusing when its records are cut from its person; a device keeps its refusals itself.
    async fn refusals_of_account(
        &self,
        scope: &Scope,
        latest: &ConsentRecord,
        now: Timestamp,
    ) -> Result<Option<ConsentRecord>> {
        let line = self.store().line(scope, latest.id).await?;
        let Some(first) = line.first() else { return Ok(None) };
        let of_device = self.keys().line_digest(&scope.tenant, first.id.as_bytes()).await?;
        if of_device == latest.subject {
            return Ok(None);
        }
        let mut refusals = latest.refusing(0, Act::Refusal, Method::Server, now)?;
        refusals.decisions.retain(|d| d.decision == Decision::Refused);
        refusals.until = now;
        Ok((!refusals.decisions.is_empty()).then_some(refusals))
    }

    async fn revoke_contacts(
        &self,
        scope: &Scope,
        latest: &ConsentRecord,
        now: Timestamp,
    ) -> Result<Vec<Erasing>> {
        let site = self.site(scope)?;
        let code = crate::privet::contacts_code(site);
        let record = latest.refusing(code.bit(), Act::Revocation, Method::Server, now)?;
        // Asked for, it is erased, whatever else it could be kept on.
        Ok(self.append_to_line(site, record, Some(latest.id), None).await?.erasing)
    }

    /// Erases one conversation with its messages.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn erase_conversation(&self, scope: &Scope, id: ConversationId) -> Result<Removed> {
        let erasing = self.store().begin_conversation_erasure(scope, id).await?;
        self.erase(&[erasing.ok_or(Error::NotFound { what: "conversation" })?]).await
    }

    /// Closes a conversation; the next message begins another one.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the store says.
    pub async fn close_conversation(&self, scope: &Scope, id: ConversationId) -> Result<()> {
        let now = self.now();
        let horizon = self.horizon(&scope.tenant, now).await?;
        if self.store().close_conversation(scope, id, now, &horizon).await? {
            Ok(())
        } else {
            Err(Error::NotFound { what: "conversation" })
        }
    }

    fn write_cursor(&self, scope: &Scope, filter: &ContactFilter, place: &Place) -> String {
        let mut bytes = vec![match place.direction {
            Direction::Older => 1,
            Direction::Newer => 2,
        }];
        bytes.extend(place.as_of.as_millis().to_be_bytes());
        bytes.extend(place.cursor.last_seen.as_millis().to_be_bytes());
        bytes.extend(place.cursor.id.as_bytes());
        let tag = self.cursor_key().tag(&[&cursor_message(scope, filter, &bytes)]);
        bytes.extend(tag);
        BASE64URL_NOPAD.encode(&bytes)
    }

    fn read_cursor(&self, scope: &Scope, filter: &ContactFilter, text: &str) -> Result<Place> {
        let bad = || {
            Error::invalid(
                "the cursor is not one of this list",
                "begin with the first page, or pass `next` or `previous` as it was given, with the same filter",
            )
        };
        let bytes: [u8; CURSOR + 16] =
            BASE64URL_NOPAD.decode(text.as_bytes()).ok().and_then(|b| b.try_into().ok()).ok_or_else(bad)?;
        let (body, tag) = bytes.split_at(CURSOR);
        if !self.cursor_key().verify(&cursor_message(scope, filter, body), tag) {
            return Err(bad());
        }
        let (head, id) = body.split_at(CURSOR - 16);
        let (direction, times) = head.split_first().ok_or_else(bad)?;
        let (as_of, seen) = times.split_at(8);
        let at = |bytes: &[u8]| bytes.try_into().map(|b| Timestamp::from_millis(i64::from_be_bytes(b)));
        Ok(Place {
            cursor: ContactCursor {
                last_seen: at(seen).map_err(|_| bad())?,
                id: ContactId::from_bytes(id.try_into().map_err(|_| bad())?),
            },
            as_of: at(as_of).map_err(|_| bad())?,
            direction: if *direction == 1 { Direction::Older } else { Direction::Newer },
        })
    }
}

/// Direction, two instants and an id.
const CURSOR: usize = 1 + 8 + 8 + 16;

/// A place in a list, and which way it is left.
struct Place {
    cursor: ContactCursor,
    as_of: Timestamp,
    direction: Direction,
}

/// A cursor is of one tenant's and site's list, under one filter.
fn cursor_message(scope: &Scope, filter: &ContactFilter, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(256);
    for part in [scope.tenant.as_str().as_bytes(), scope.site.as_str().as_bytes(), &filter.to_bytes(), body] {
        message.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        message.extend(part);
    }
    message
}
