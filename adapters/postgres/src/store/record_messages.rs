//! Messages of one tenant, recorded together: a few statements and one write-through, however many come at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use privet::catalogue::CategoryCode;
use privet::consent::{ConsentRecord, RecordId};
use privet::contact::{
    Channel, Contact, ContactId, Conversation, ConversationId, FenceEpoch, MessageId, Owner, Sealed,
};
use privet::store::{ConsentProof, Horizon, MessageToStore, OwnerProof, StoredMessage, SubjectDigest};
use privet::{Error, Result, Scope, Site, Tenant, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::append_records::{latest_of_lines, records};
use super::locks::{self, Named};
use super::messages::BUSY;
use super::rows::{
    self, RowResult, bytes, contact_columns, conversation_columns, message_columns, ms, number, read_contact,
    read_conversation, read_message,
};
use crate::db::{On, UnitResult};
use crate::group::{Became, Unit};

/// A message of a visitor on its way into a conversation.
pub(super) struct RecordMessage {
    pub(super) scope: Scope,
    pub(super) owner: OwnerProof,
    pub(super) message: MessageToStore,
    pub(super) since: Timestamp,
    pub(super) horizon: Horizon,
}

impl RecordMessage {
    fn whose(&self) -> Owner {
        match &self.owner {
            OwnerProof::Contact { id, .. } => Owner::Contact(*id),
            OwnerProof::Session { session, .. } => Owner::Session(*session),
        }
    }

    fn proof(&self) -> Option<&ConsentProof> {
        match &self.owner {
            OwnerProof::Contact { proof, .. } => Some(proof),
            OwnerProof::Session { .. } => None,
        }
    }

    fn conversation(&self) -> (Site, ConversationId) {
        (self.scope.site.clone(), self.message.conversation)
    }
}

/// A message that nothing is against so far.
struct Recording<'u> {
    unit: &'u RecordMessage,
    /// Its place among the units.
    place: usize,
    /// Of a contact: what it stands on now, and the line it was on.
    stands: Option<(ConsentRecord, CategoryCode, SubjectDigest)>,
    opens: bool,
}

impl Recording<'_> {
    fn site(&self) -> &str {
        self.unit.scope.site.as_str()
    }

    fn contact(&self) -> Option<ContactId> {
        match self.unit.whose() {
            Owner::Contact(id) => Some(id),
            Owner::Session(_) => None,
        }
    }
}

/// The messages that nothing is against so far, and what became of the others.
struct Group<'u> {
    tenant: &'u Tenant,
    became: Vec<Became<StoredMessage>>,
    recording: Vec<Recording<'u>>,
}

/// What a step says about one: it goes on, or what it ended with.
type Step = std::result::Result<(), Result<StoredMessage>>;

const GO_ON: Step = Ok(());

fn no(error: Error) -> Step {
    Err(Err(error))
}

impl<'u> Group<'u> {
    /// Those that have neither a conversation nor an owner in common: a message gets its number after the one before.
    fn apart(tenant: &'u Tenant, units: &'u [Arc<RecordMessage>]) -> Self {
        let mut recording = Vec::new();
        let (mut conversations, mut owners) = (HashSet::new(), HashSet::new());
        for (place, unit) in units.iter().enumerate() {
            let owner = (unit.scope.site.clone(), unit.whose());
            if conversations.contains(&unit.conversation()) || owners.contains(&owner) {
                continue;
            }
            conversations.insert(unit.conversation());
            owners.insert(owner);
            recording.push(Recording { unit, place, stands: None, opens: false });
        }
        Self { tenant, became: units.iter().map(|_| Became::Later).collect(), recording }
    }

    /// Asks of each whether it goes on.
    fn each(&mut self, mut step: impl FnMut(&mut Recording<'u>) -> Step) {
        let became = &mut self.became;
        self.recording.retain_mut(|one| match step(one) {
            Ok(()) => true,
            Err(answer) => {
                became[one.place] = Became::Done(answer);
                false
            }
        });
    }

    fn proofs(&self) -> Vec<(Site, RecordId)> {
        let proofs = self.recording.iter().filter_map(|one| one.unit.proof());
        proofs.map(|proof| (proof.scope().site.clone(), proof.record())).collect()
    }

    /// The sites and conversations of all, or of some.
    fn conversations(&self, of: impl Fn(&Recording<'u>) -> bool) -> (Vec<&'u str>, Vec<Vec<u8>>) {
        let some = self.recording.iter().filter(|one| of(one));
        some.map(|one| (one.unit.scope.site.as_str(), one.unit.message.conversation.as_bytes().to_vec()))
            .unzip()
    }

    /// Rule 3, with a lock on each line: until the transaction ends nobody takes a consent back. And a lock on each visit
    /// that may begin a conversation, since a visit has no row.
    async fn check_proofs(&mut self, on: &mut On<'_>) -> UnitResult<()> {
        self.each(|one| match one.unit.proof() {
            Some(proof) if *proof.scope() != one.unit.scope => no(proof.refused()),
            _ => GO_ON,
        });
        let proofs = self.proofs();
        let own = records(on, self.tenant, &proofs).await?;
        let line = |record: &ConsentRecord| locks::key(&record.scope, Named::Line(record.subject));
        locks::together(on, own.values().map(line).collect()).await?;
        let visits = self.recording.iter().filter_map(|one| match one.unit.whose() {
            Owner::Session(session) if one.unit.message.opens => {
                Some(locks::key(&one.unit.scope, Named::Visit(session)))
            }
            _ => None,
        });
        locks::alone(on, visits.collect()).await?;
        // The latest of the line is asked again: it may have changed before the lock.
        let latest = latest_of_lines(on, self.tenant, &proofs).await?;
        self.each(|one| {
            let Some(proof) = one.unit.proof() else { return GO_ON };
            let key = (proof.scope().site.clone(), proof.record());
            let grants = |record: &ConsentRecord| record.grants(proof.category(), one.unit.message.at);
            match (own.get(&key), latest.get(&key)) {
                (Some(own), Some((latest, _))) if grants(own) && grants(latest) => {
                    one.stands = Some((latest.clone(), proof.category(), latest.subject));
                    GO_ON
                }
                _ => no(proof.refused()),
            }
        });
        Ok(())
    }

    /// Contacts that write on their own: locked, not fenced, there, and not blocked.
    async fn check_contacts(&mut self, on: &mut On<'_>) -> UnitResult<()> {
        type Found = HashMap<(String, ContactId), (Contact, bool, SubjectDigest)>;
        let contacts: Vec<_> =
            self.recording.iter().filter_map(|one| Some((one.site().to_owned(), one.contact()?))).collect();
        if contacts.is_empty() {
            return Ok(());
        }
        let found = on
            .q(concat!(
                "SELECT ",
                contact_columns!("c."),
                ", c.erasing IS NULL, c.consent_line, c.site FROM unnest($2::text[], $3::bytea[]) AS w (site, id)
                 JOIN privet.contacts c ON c.tenant = $1 AND c.site = w.site AND c.id = w.id
                 ORDER BY c.site, c.id FOR UPDATE OF c"
            ))
            .bind(self.tenant.as_str())
            .bind(contacts.iter().map(|(site, _)| site.as_str()).collect::<Vec<_>>())
            .bind(contacts.iter().map(|(_, id)| id.as_bytes().to_vec()).collect::<Vec<_>>())
            .fetch_all(&mut *on.c)
            .await?;
        let read = |row: &PgRow| -> RowResult<_> {
            let contact = read_contact(row)?;
            let line = SubjectDigest::from_bytes(bytes(row, 16)?);
            Ok(((row.try_get(17)?, contact.id), (contact, row.try_get(15)?, line)))
        };
        let found: Found = rows::all(&found, read)?.into_iter().collect();
        let fenced = self.fenced(on).await?;
        self.each(|one| {
            let OwnerProof::Contact { id, epoch, subject, .. } = &one.unit.owner else { return GO_ON };
            if fenced.get(subject).is_some_and(|fence| fence >= epoch) {
                return no(Error::Fenced);
            }
            let site = one.unit.scope.site.as_str().to_owned();
            let (contact, line) = match found.get(&(site, *id)) {
                Some((contact, true, line))
                    if one.unit.horizon.shows_contact(contact) && contact.epoch == *epoch =>
                {
                    (contact, line)
                }
                _ => return no(Error::NotFound { what: "contact" }),
            };
            if contact.blocked {
                return no(Error::Blocked);
            }
            if let Some((_, _, was_on)) = &mut one.stands {
                *was_on = *line;
            }
            GO_ON
        });
        Ok(())
    }

    /// Rule 6. Whoever erases locks the contact, which is done before.
    async fn fenced(&self, on: &mut On<'_>) -> UnitResult<HashMap<SubjectDigest, FenceEpoch>> {
        let subjects = self.recording.iter().filter_map(|one| match &one.unit.owner {
            OwnerProof::Contact { subject, .. } => Some(subject.as_bytes().to_vec()),
            OwnerProof::Session { .. } => None,
        });
        let fences = on
            .q("SELECT subject, epoch FROM privet.fences WHERE tenant = $1 AND subject = ANY($2)")
            .bind(self.tenant.as_str())
            .bind(subjects.collect::<Vec<_>>())
            .fetch_all(&mut *on.c)
            .await?;
        let fences = rows::all(&fences, |row| {
            Ok((SubjectDigest::from_bytes(bytes(row, 0)?), FenceEpoch::new(number(row, 1)?)))
        })?;
        Ok(fences.into_iter().collect())
    }

    /// Conversations that are there, locked; those that are not are opened further down.
    async fn check_conversations(&mut self, on: &mut On<'_>) -> UnitResult<()> {
        let (sites, ids) = self.conversations(|_| true);
        if ids.is_empty() {
            return Ok(());
        }
        let found = on
            .q(concat!(
                "SELECT ",
                conversation_columns!(),
                ", c.erasing IS NOT NULL, c.site FROM unnest($2::text[], $3::bytea[]) AS w (site, id)
                 JOIN privet.conversations c ON c.tenant = $1 AND c.site = w.site AND c.id = w.id
                 ORDER BY c.site, c.id FOR UPDATE OF c"
            ))
            .bind(self.tenant.as_str())
            .bind(sites)
            .bind(ids)
            .fetch_all(&mut *on.c)
            .await?;
        let read = |row: &PgRow| -> RowResult<((String, ConversationId), (Conversation, bool))> {
            let found = read_conversation(row)?;
            Ok(((row.try_get(10)?, found.id), (found, row.try_get(9)?)))
        };
        let found: HashMap<_, _> = rows::all(&found, read)?.into_iter().collect();
        self.each(|one| {
            match found.get(&(one.site().to_owned(), one.unit.message.conversation)) {
                // The contact whose it is is the one that was found to be there.
                Some((found, marked)) => {
                    if *marked
                        || found.owner != one.unit.whose()
                        || !one.unit.horizon.shows_conversation(found)
                    {
                        return no(BUSY);
                    }
                }
                None if !one.unit.message.opens => return no(BUSY),
                None => one.opens = true,
            }
            GO_ON
        });
        Ok(())
    }

    /// No owner has two conversations running.
    async fn check_owners(&mut self, on: &mut On<'_>) -> UnitResult<()> {
        let opening: Vec<_> = self.recording.iter().filter(|one| one.opens).collect();
        if opening.is_empty() {
            return Ok(());
        }
        let running = on
            .q(concat!(
                "SELECT ",
                conversation_columns!(),
                ", w.place FROM unnest($2::bigint[], $3::text[], $4::smallint[], $5::bytea[], $6::bigint[])
                   AS w (place, site, kind, owner, since)
                 JOIN privet.conversations c ON c.tenant = $1 AND c.site = w.site AND c.owner_kind = w.kind AND c.owner = w.owner
                   AND c.last_message >= w.since
                 WHERE c.closed IS NULL AND c.erasing IS NULL"
            ))
            .bind(self.tenant.as_str())
            .bind(opening.iter().map(|one| i64::try_from(one.place).unwrap_or(i64::MAX)).collect::<Vec<_>>())
            .bind(opening.iter().map(|one| one.site()).collect::<Vec<_>>())
            .bind(opening.iter().map(|one| i16::from(one.unit.whose().parts().0)).collect::<Vec<_>>())
            .bind(opening.iter().map(|one| one.unit.whose().parts().1.to_vec()).collect::<Vec<_>>())
            .bind(opening.iter().map(|one| ms(one.unit.since)).collect::<Vec<_>>())
            .fetch_all(&mut *on.c)
            .await?;
        let running: Vec<(usize, Conversation)> =
            rows::all(&running, |row| Ok((number(row, 9)?, read_conversation(row)?)))?;
        self.each(|one| {
            let shown = |(place, running): &(usize, Conversation)| {
                *place == one.place && one.unit.horizon.shows_conversation(running)
            };
            if one.opens && running.iter().any(shown) { no(BUSY) } else { GO_ON }
        });
        Ok(())
    }

    /// What came before is not stored again, nor what was erased alone since.
    async fn answer_what_came_before(&mut self, on: &mut On<'_>) -> UnitResult<()> {
        let ids = |of: &dyn Fn(&Recording<'_>) -> bool| {
            let some = self.recording.iter().filter(|one| of(one));
            some.map(|one| one.unit.message.id.as_bytes().to_vec()).collect::<Vec<_>>()
        };
        let (sites, conversations) = self.conversations(|one| !one.opens);
        let mut before = HashMap::<(String, ConversationId, MessageId), StoredMessage>::new();
        if !conversations.is_empty() {
            let found = on
                .q(concat!(
                    "SELECT ",
                    message_columns!(),
                    ", m.site, m.conversation FROM unnest($2::text[], $3::bytea[], $4::bytea[]) AS w (site, conversation, id)
                     JOIN privet.messages m ON m.tenant = $1 AND m.site = w.site AND m.conversation = w.conversation AND m.id = w.id"
                ))
                .bind(self.tenant.as_str())
                .bind(sites)
                .bind(conversations)
                .bind(ids(&|one| !one.opens))
                .fetch_all(&mut *on.c)
                .await?;
            for row in &found {
                let stored = read_message(ConversationId::from_bytes(bytes(row, 8)?), row)?;
                before.insert((row.try_get(7)?, stored.conversation, stored.id), stored);
            }
        }
        self.each(|one| {
            let key = (one.site().to_owned(), one.unit.message.conversation, one.unit.message.id);
            before.remove(&key).map_or(GO_ON, |stored| Err(Ok(stored)))
        });
        if self.recording.is_empty() {
            return Ok(());
        }
        let erased = on
            .q("SELECT e.site, e.id, e.conversation, e.number FROM unnest($2::text[], $3::bytea[]) AS w (site, id)
                JOIN privet.erased_messages e ON e.tenant = $1 AND e.site = w.site AND e.id = w.id")
            .bind(self.tenant.as_str())
            .bind(self.recording.iter().map(Recording::site).collect::<Vec<_>>())
            .bind(self.recording.iter().map(|one| one.unit.message.id.as_bytes().to_vec()).collect::<Vec<_>>())
            .fetch_all(&mut *on.c)
            .await?;
        let erased: HashMap<(String, MessageId), (ConversationId, u32)> = rows::all(&erased, |row| {
            let place = (ConversationId::from_bytes(bytes(row, 2)?), number(row, 3)?);
            Ok(((row.try_get(0)?, MessageId::from_bytes(bytes(row, 1)?)), place))
        })?
        .into_iter()
        .collect();
        self.each(|one| {
            let key = (one.site().to_owned(), one.unit.message.id);
            let Some((conversation, number)) = erased.get(&key) else { return GO_ON };
            let stored = StoredMessage::new(one.unit.message.clone(), *number);
            Err(Ok(StoredMessage { conversation: *conversation, ..stored }))
        });
        Ok(())
    }

    /// A contact that speaks on another line of consent than before goes over to it: a withdrawal of that line has to
    /// erase it.
    async fn stand_on(&self, on: &mut On<'_>) -> UnitResult<()> {
        for one in &self.recording {
            if let (Some(contact), Some((record, category, line))) = (one.contact(), &one.stands) {
                super::stand_on(on, &one.unit.scope, (contact, *line), record, *category).await?;
            }
        }
        Ok(())
    }

    async fn open(&mut self, on: &mut On<'_>) -> UnitResult<()> {
        let opening: Vec<_> = self.recording.iter().filter(|one| one.opens).collect();
        if opening.is_empty() {
            return Ok(());
        }
        let subject = |one: &&Recording<'_>| match &one.unit.owner {
            OwnerProof::Contact { .. } => None,
            OwnerProof::Session { subject, .. } => Some(subject.as_bytes().to_vec()),
        };
        let opened = on
            .q("INSERT INTO privet.conversations
                  (tenant, site, id, owner_kind, owner, subject, opened, last_message, messages, live_support)
                SELECT $1, w.site, w.id, w.kind, w.owner, w.subject, w.at, w.at, 0, FALSE
                FROM unnest($2::text[], $3::bytea[], $4::smallint[], $5::bytea[], $6::bytea[], $7::bigint[])
                  AS w (site, id, kind, owner, subject, at) ORDER BY w.site, w.id
                ON CONFLICT (tenant, site, id) DO NOTHING RETURNING site, id")
            .bind(self.tenant.as_str())
            .bind(opening.iter().map(|one| one.site()).collect::<Vec<_>>())
            .bind(
                opening
                    .iter()
                    .map(|one| one.unit.message.conversation.as_bytes().to_vec())
                    .collect::<Vec<_>>(),
            )
            .bind(opening.iter().map(|one| i16::from(one.unit.whose().parts().0)).collect::<Vec<_>>())
            .bind(opening.iter().map(|one| one.unit.whose().parts().1.to_vec()).collect::<Vec<_>>())
            .bind(opening.iter().map(subject).collect::<Vec<_>>())
            .bind(opening.iter().map(|one| ms(one.unit.message.at)).collect::<Vec<_>>())
            .fetch_all(&mut *on.c)
            .await?;
        let opened: HashSet<(String, ConversationId)> =
            rows::all(&opened, |row| Ok((row.try_get(0)?, ConversationId::from_bytes(bytes(row, 1)?))))?
                .into_iter()
                .collect();
        // Else it is somebody else's, opened in between.
        self.each(|one| {
            let ours = opened.contains(&(one.site().to_owned(), one.unit.message.conversation));
            if one.opens && !ours { no(BUSY) } else { GO_ON }
        });
        Ok(())
    }

    /// Gives each message its number in its conversation, which is locked, and puts it into its place.
    async fn insert(mut self, on: &mut On<'_>) -> UnitResult<Vec<Became<StoredMessage>>> {
        if self.recording.is_empty() {
            return Ok(self.became);
        }
        let (sites, ids) = self.conversations(|_| true);
        let of = |one: &Recording<'u>| &one.unit.message;
        let numbers = on
            .q("UPDATE privet.conversations c SET messages = messages + 1, last_message = greatest(last_message, w.at),
                  live_support = live_support OR w.live, awaits_answer = coalesce(w.waits, awaits_answer)
                FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::boolean[], $6::boolean[]) AS w (site, id, at, live, waits)
                WHERE c.tenant = $1 AND c.site = w.site AND c.id = w.id RETURNING c.site, c.id, c.messages")
            .bind(self.tenant.as_str())
            .bind(&sites)
            .bind(&ids)
            .bind(self.recording.iter().map(|one| ms(of(one).at)).collect::<Vec<_>>())
            .bind(self.recording.iter().map(|one| of(one).channel == Channel::LiveSupport).collect::<Vec<_>>())
            .bind(self.recording.iter().map(|one| of(one).author.awaits_answer()).collect::<Vec<_>>())
            .fetch_all(&mut *on.c)
            .await?;
        let numbers: HashMap<(String, ConversationId), u32> = rows::all(&numbers, |row| {
            Ok(((row.try_get(0)?, ConversationId::from_bytes(bytes(row, 1)?)), number(row, 2)?))
        })?
        .into_iter()
        .collect();
        self.see_contacts(on).await?;
        let mut stored = Vec::with_capacity(self.recording.len());
        for one in &self.recording {
            let key = (one.site().to_owned(), of(one).conversation);
            // They are locked, so that each is there.
            let number = numbers.get(&key).ok_or(sqlx::Error::RowNotFound)?;
            stored.push(StoredMessage::new(of(one).clone(), *number));
        }
        // Citus copies what a statement returns nothing of, and row-level security refuses copies.
        on.q("INSERT INTO privet.messages (tenant, site, conversation, number, id, at, channel, author, body, page)
              SELECT $1, * FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[], $7::smallint[],
                $8::smallint[], $9::bytea[], $10::bytea[]) RETURNING 1")
            .bind(self.tenant.as_str())
            .bind(sites)
            .bind(ids)
            .bind(stored.iter().map(|m| i64::from(m.number)).collect::<Vec<_>>())
            .bind(stored.iter().map(|m| m.id.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(stored.iter().map(|m| ms(m.at)).collect::<Vec<_>>())
            .bind(stored.iter().map(|m| i16::from(m.channel.code())).collect::<Vec<_>>())
            .bind(stored.iter().map(|m| i16::from(m.author.code())).collect::<Vec<_>>())
            .bind(stored.iter().map(|m| m.body.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(stored.iter().map(|m| m.page.as_ref().map(|page| Sealed::as_bytes(page).to_vec())).collect::<Vec<_>>())
            .execute(&mut *on.c)
            .await?;
        for (one, stored) in self.recording.iter().zip(stored) {
            self.became[one.place] = Became::Done(Ok(stored));
        }
        Ok(self.became)
    }

    async fn see_contacts(&self, on: &mut On<'_>) -> UnitResult<()> {
        let contacts: Vec<_> = self.recording.iter().filter_map(|one| Some((one, one.contact()?))).collect();
        if contacts.is_empty() {
            return Ok(());
        }
        on.q("UPDATE privet.contacts c SET last_seen = greatest(last_seen, w.at), conversations = conversations + w.opened
              FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::bigint[]) AS w (site, id, at, opened)
              WHERE c.tenant = $1 AND c.site = w.site AND c.id = w.id")
            .bind(self.tenant.as_str())
            .bind(contacts.iter().map(|(one, _)| one.site()).collect::<Vec<_>>())
            .bind(contacts.iter().map(|(_, id)| id.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(contacts.iter().map(|(one, _)| ms(one.unit.message.at)).collect::<Vec<_>>())
            .bind(contacts.iter().map(|(one, _)| i64::from(one.opens)).collect::<Vec<_>>())
            .execute(&mut *on.c)
            .await?;
        Ok(())
    }
}

impl Unit for RecordMessage {
    type Answer = StoredMessage;

    fn tenant(&self) -> &Tenant {
        &self.scope.tenant
    }

    async fn together(on: &mut On<'_>, units: &[Arc<Self>]) -> UnitResult<Vec<Became<StoredMessage>>> {
        let Some(tenant) = units.first().map(|unit| unit.tenant()) else { return Ok(Vec::new()) };
        let mut group = Group::apart(tenant, units);
        group.check_proofs(on).await?;
        group.check_contacts(on).await?;
        group.check_conversations(on).await?;
        group.check_owners(on).await?;
        group.stand_on(on).await?;
        group.answer_what_came_before(on).await?;
        group.open(on).await?;
        group.insert(on).await
    }
}
