//! What must not be in the tables, whatever happened to those who wrote them.

/// Statements over the schema `privet` that each count nothing, when no unit of work was done by halves.
pub const ORPHANS: [&str; 6] = [
    "SELECT count(*) FROM privet.messages m WHERE NOT EXISTS
       (SELECT 1 FROM privet.conversations c WHERE c.tenant = m.tenant AND c.site = m.site AND c.id = m.conversation)",
    "SELECT count(*) FROM privet.erased_messages e WHERE NOT EXISTS
       (SELECT 1 FROM privet.conversations c WHERE c.tenant = e.tenant AND c.site = e.site AND c.id = e.conversation)",
    "SELECT count(*) FROM privet.conversations c WHERE owner_kind = 1 AND NOT EXISTS
       (SELECT 1 FROM privet.contacts o WHERE o.tenant = c.tenant AND o.site = c.site AND o.id = c.owner)",
    "SELECT count(*) FROM privet.contacts o WHERE conversations <> (SELECT count(*) FROM privet.conversations c
       WHERE c.tenant = o.tenant AND c.site = o.site AND c.owner_kind = 1 AND c.owner = o.id)",
    // Not one of those who are there is fenced.
    "SELECT count(*) FROM privet.contacts c JOIN privet.fences f ON f.tenant = c.tenant AND f.subject = c.subject AND f.epoch >= c.epoch",
    "SELECT count(*) FROM privet.consent_heads h WHERE seq <> (SELECT max(seq) FROM privet.consent_links l WHERE l.tenant = h.tenant)",
];
