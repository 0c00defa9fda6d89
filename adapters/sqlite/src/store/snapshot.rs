//! One moment of a site, to be read in pieces.

use async_trait::async_trait;
use privet::contact::{ContactId, ContactSummary, Conversation, ConversationId};
use privet::store::{Horizon, Snapshot, StoredMessage};
use privet::{Result, Scope};
use rusqlite::params;

use super::conversations::{CONVERSATION, messages_of, owner_is_there, read_conversation};
use super::list::{SUMMARY, read_summary};
use super::ms;
use crate::db::DbSnapshot;

/// One moment of a site.
#[derive(Debug)]
pub(super) struct SiteSnapshot {
    pub(super) db: DbSnapshot,
    pub(super) scope: Scope,
    pub(super) horizon: Horizon,
}

#[async_trait]
impl Snapshot for SiteSnapshot {
    async fn contacts(&mut self, after: Option<ContactId>, limit: u16) -> Result<Vec<ContactSummary>> {
        let (scope, horizon) = (self.scope.clone(), self.horizon);
        let from = after.map_or_else(|| vec![0_u8; 0], |id| id.as_bytes().to_vec());
        self.db
            .read(move |c| {
                let sql = format!("SELECT {SUMMARY} FROM contacts WHERE tenant = ?1 AND site = ?2 AND id > ?3
                     AND +last_seen >= ?4 AND +consent_until > ?5 AND +erasing IS NULL AND +frozen_until IS NULL
                     ORDER BY id LIMIT ?6");
                let mut statement = c.prepare_cached(&sql)?;
                let rows = statement.query_map(
                    params![
                        scope.tenant.as_str(),
                        scope.site.as_str(),
                        from,
                        ms(horizon.contacts),
                        ms(horizon.now),
                        limit
                    ],
                    read_summary,
                )?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn conversations(
        &mut self,
        after: Option<ConversationId>,
        limit: u16,
    ) -> Result<Vec<Conversation>> {
        let (scope, horizon) = (self.scope.clone(), self.horizon);
        let from = after.map_or_else(|| vec![0_u8; 0], |id| id.as_bytes().to_vec());
        self.db
            .read(move |c| {
                let sql = format!(
                    "SELECT {CONVERSATION} FROM conversations
                     WHERE tenant = ?1 AND site = ?2 AND id > ?3 AND +erasing IS NULL ORDER BY id"
                );
                let mut statement = c.prepare_cached(&sql)?;
                let rows = statement.query_map(
                    params![scope.tenant.as_str(), scope.site.as_str(), from],
                    read_conversation,
                )?;
                let mut all = Vec::new();
                for row in rows {
                    let conversation = row?;
                    if horizon.shows_conversation(&conversation)
                        && owner_is_there(c, &scope, conversation.owner, &horizon)?
                    {
                        all.push(conversation);
                        if all.len() >= limit.into() {
                            break;
                        }
                    }
                }
                Ok(all)
            })
            .await
    }

    async fn messages(
        &mut self,
        conversation: ConversationId,
        after: u32,
        limit: u16,
    ) -> Result<Vec<StoredMessage>> {
        let (scope, horizon) = (self.scope.clone(), self.horizon);
        self.db.read(move |c| messages_of(c, &scope, conversation, after, limit, &horizon)).await
    }
}
