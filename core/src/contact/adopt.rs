//! Conversations that change hands, because their visitor said so.

use super::id::{ContactId, ConversationId, FenceEpoch};
use super::model::Owner;
use super::seal::{Field, Sealed, SubjectKey};
use super::visitor::{ATTEMPTS, SHOWN_CONVERSATIONS, SHOWN_MESSAGES, Visitor};
use crate::catalogue::category_id;
use crate::clock::Timestamp;
use crate::consent::Provenance;
use crate::consent::cookie::{ContactCookie, last_day};
use crate::error::{Error, Result};
use crate::privet::Privet;
use crate::scope::Scope;
use crate::store::{Adoption, ConsentProof, Horizon, Resealed};
use crate::visit::{Contacts, Granted};

/// Whom a conversation goes to, and by what right.
struct Taker<'k> {
    proof: ConsentProof,
    contact: ContactId,
    epoch: FenceEpoch,
    key: &'k SubjectKey,
}

impl Visitor {
    /// Gives the conversations of this visit to the visitor's contact, because the visitor said so; never do it
    /// unasked. How many it gave.
    ///
    /// # Errors
    /// [`Error::NotGranted`], [`Error::Blocked`], or what the store says.
    pub async fn keep_conversations(&self, granted: &Granted<Contacts>) -> Result<u32> {
        let visit = self.visit();
        let (privet, scope) = (visit.privet(), visit.scope());
        let Some(session) = visit.session() else { return Ok(0) };
        self.check_grant(granted).await?;
        let from = Owner::Session(privet.keys().session_digest(&scope.tenant, session).await?);
        let horizon = privet.horizon(&scope.tenant, visit.now()).await?;
        if privet.store().conversations(scope, from, 1, &horizon).await?.is_empty() {
            return Ok(0);
        }
        let (contact, epoch) = self.contact_for(granted).await?;
        let subject = privet.keys().contact_digest(&scope.tenant, contact).await?;
        let key = privet.keys().subject_key(&scope.tenant, subject).await?;
        self.give_all(from, &Taker { proof: granted.proof()?, contact, epoch, key: &key }).await
    }

    /// Moves what this browser's own contact holds to the account of whoever is signed in, because they said so; never do it
    /// unasked: others may use the browser. The account has to grant contacts itself (the stricter of two consents counts);
    /// the browser's own contact is erased, with its notes, and its consent to contacts withdrawn, so that from then on the
    /// person is recognised while they are signed in, on every device, and nobody is otherwise. How many conversations moved.
    ///
    /// # Errors
    /// [`Error::NotGranted`] when nobody is signed in or their account does not grant contacts, [`Error::NotFound`] when the
    /// browser has no contact of its own, [`Error::Blocked`] when either contact is, or what the store says.
    pub async fn move_to_account(&self, provenance: Provenance) -> Result<u32> {
        let visit = self.visit();
        let (privet, scope) = (visit.privet(), visit.scope());
        let record =
            visit.account_record_of_contacts().ok_or_else(|| Error::not_granted(category_id::CONTACTS))?;
        let own = visit.contact().filter(|c| c.line.is_none()).ok_or(Error::NotFound { what: "contact" })?;
        let proof = ConsentProof {
            scope: scope.clone(),
            record,
            category: crate::privet::contacts_code(visit.site()),
        };
        if privet.contact(scope, own.id).await?.blocked {
            return Err(Error::Blocked);
        }
        let contact = self.open_contact_on(&proof).await?;
        let key = privet.keys().subject_key(&scope.tenant, contact.subject).await?;
        let taker = Taker { proof, contact: contact.id, epoch: contact.epoch, key: &key };
        let moved = self.give_all(Owner::Contact(own.id), &taker).await?;
        privet.end_contacts_of_device(visit, own, provenance).await?;
        visit.set_contact(ContactCookie {
            id: contact.id,
            epoch: contact.epoch,
            until: last_day(contact.consent_until),
            line: visit.line(),
        });
        Ok(moved)
    }

    /// Gives every conversation of an owner to a contact.
    async fn give_all(&self, from: Owner, taker: &Taker<'_>) -> Result<u32> {
        let visit = self.visit();
        let (privet, scope) = (visit.privet(), visit.scope());
        let mut given = 0;
        loop {
            let horizon = privet.horizon(&scope.tenant, visit.now()).await?;
            let page = privet.store().conversations(scope, from, SHOWN_CONVERSATIONS, &horizon).await?;
            let before = given;
            for conversation in page {
                for _ in 0..ATTEMPTS {
                    match self.give(from, taker, conversation.id).await {
                        Ok(is_given) => {
                            given += u32::from(is_given);
                            break;
                        }
                        // A message came in between: all of them are sealed anew.
                        Err(Error::Conflict { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            if given == before {
                return Ok(given);
            }
        }
    }

    /// Gives one conversation to a contact; false when it is not its owner's any more.
    async fn give(&self, from: Owner, taker: &Taker<'_>, conversation: ConversationId) -> Result<bool> {
        let visit = self.visit();
        let (privet, scope) = (visit.privet(), visit.scope());
        if !privet.owns(scope, from, conversation, visit.now()).await? {
            return Ok(false);
        }
        let horizon = privet.horizon(&scope.tenant, visit.now()).await?;
        let old_subject = match from {
            Owner::Contact(contact) => privet.keys().contact_digest(&scope.tenant, contact).await?,
            Owner::Session(_) => privet.keys().conversation_digest(&scope.tenant, conversation).await?,
        };
        let Some(old_key) = privet.keys().existing_subject_key(&scope.tenant, old_subject).await? else {
            return Ok(false);
        };
        let texts = match privet.reseal(scope, conversation, &old_key, taker.key, visit.now()).await {
            Ok(texts) => texts,
            Err(error @ Error::Corrupt { .. }) => {
                // Another tab was faster, unless the text is damaged.
                let mine = privet.owns(scope, from, conversation, visit.now()).await?;
                return if mine { Err(error) } else { Ok(false) };
            }
            Err(error) => return Err(error),
        };
        let adoption = Adoption {
            proof: taker.proof.clone(),
            contact: taker.contact,
            epoch: taker.epoch,
            subject: taker.key.subject(),
            from,
            conversation,
            texts,
            at: visit.now(),
        };
        if let Err(error) = privet.store().adopt_conversation(&adoption, &horizon).await {
            // It may have happened, and the answer was lost: then the old key has to go all the same.
            let given = privet.owns(scope, Owner::Contact(taker.contact), conversation, visit.now()).await;
            if !given.is_ok_and(|given| given) {
                return Err(error);
            }
        }
        if matches!(from, Owner::Session(_)) {
            // A contact's key is of everything that it holds, and goes with it.
            privet.keys().destroy_subject_key(&scope.tenant, old_subject).await?;
        }
        Ok(true)
    }
}

impl Privet {
    async fn reseal(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        from: &SubjectKey,
        to: &SubjectKey,
        now: Timestamp,
    ) -> Result<Vec<Resealed>> {
        let everything =
            Horizon { messages: Timestamp::from_millis(i64::MIN), ..self.horizon(&scope.tenant, now).await? };
        let again = |field, sealed: &Sealed| {
            let text = from.open(scope, conversation.as_bytes(), field, sealed)?;
            to.seal(scope, conversation.as_bytes(), field, &text)
        };
        let mut texts: Vec<Resealed> = Vec::new();
        loop {
            let after = texts.last().map_or(0, |text| text.number);
            let page = self.store().messages(scope, conversation, after, SHOWN_MESSAGES, &everything).await?;
            if page.is_empty() {
                return Ok(texts);
            }
            for m in page {
                texts.push(Resealed {
                    number: m.number,
                    body: again(Field::Body, &m.body)?,
                    page: m.page.as_ref().map(|page| again(Field::Page, page)).transpose()?,
                });
            }
        }
    }
}
