//! Contacts and conversations on their way out, streamed.
//!
//! `GET {base}/portal/{site}/export?what=contacts|conversations&format=csv|jsonl` answers one moment of the site,
//! in as much memory for many contacts as for few. Without `what` it is contacts, without `format` CSV.
//!
//! **JSON Lines**: an object per contact, or per conversation with its messages; a conversation of more messages than
//! are held at once comes as several lines with the same `id`, one behind the other. The last line is
//! `{"manifest":{…}}`.
//!
//! **CSV**: a header, then a row per contact, or per message; a conversation without messages is a row with empty
//! cells. A cell that begins like a formula has a `'` before it. The last record begins with the cell `#manifest` and is
//! as wide as the others, so that readers of either kind get along: those that skip comments skip it.
//!
//! The manifest says when it was taken, how old the moment was by then where it was read from a copy of the database
//! (`behind_ms`), what was counted, how many messages nobody can open any more, and the SHA-256 of every byte before it. Without a manifest the export is not
//! whole: something was cut.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream;
use privet::contact::{Author, Channel, ContactSummary, Message, PageUrl};
use privet::portal::{Export, ExportedConversation, Operator, Permission, Portal};
use privet::{Error, Result, Visit};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Guard, text};
use crate::formula::inert;
use crate::origin::SameOrigin;
use crate::reply::{BodyStream, Reply};
use crate::request::Request;

/// A piece of the body is sent as soon as it is this long.
const PIECE: usize = 32 * 1024;

const CONTACT_COLUMNS: [&str; 5] = ["id", "country", "created", "last_seen", "conversations"];
const MESSAGE_COLUMNS: [&str; 10] =
    ["conversation", "contact", "opened", "closed", "number", "at", "channel", "author", "text", "page"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Contacts,
    Conversations,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// No export takes longer: what it reads of is kept for it as it was.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Who let the operator in, and is asked again while data leaves.
pub(super) struct Door {
    pub(super) guard: Arc<dyn Guard>,
    pub(super) visit: Visit,
    pub(super) request: Request,
}

impl Door {
    /// Whether the operator would be let in now, with the same right.
    async fn is_open(&self, operator: &Operator) -> Result<bool> {
        let now = self.guard.operator(&self.visit, &self.request).await?;
        Ok(now.is_some_and(|now| now == *operator && now.may(Permission::Export)))
    }
}

/// `GET {base}/portal/{site}/export`
pub(super) async fn export(portal: Portal, request: &Request, door: Option<Door>) -> Result<Reply> {
    // It is written down as what the operator did: no other site does it for them.
    let headers = ["sec-fetch-site", "origin", "sec-fetch-dest"];
    let lines = headers.iter().flat_map(|name| request.all(name).map(move |value| (*name, value)));
    if SameOrigin::judge(lines, &[]) == SameOrigin::No {
        return Ok(Reply::problem(403, "An export is begun on this site."));
    }
    let what = match request.query_value("what").as_deref() {
        None | Some("contacts") => What::Contacts,
        Some("conversations") => What::Conversations,
        _ => return Err(Error::invalid("there is no such export", "ask for contacts or conversations")),
    };
    let format = match request.query_value("format").as_deref() {
        None | Some("csv") => Format::Csv,
        Some("jsonl") => Format::JsonLines,
        _ => return Err(Error::invalid("there is no such format", "ask for csv or jsonl")),
    };
    let export = match what {
        What::Contacts => portal.export_contacts().await?,
        What::Conversations => portal.export_conversations().await?,
    };
    let content_type = match format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        Format::JsonLines => "application/jsonl; charset=utf-8",
    };
    let file = match (what, format) {
        (What::Contacts, Format::Csv) => "contacts.csv",
        (What::Contacts, Format::JsonLines) => "contacts.jsonl",
        (What::Conversations, Format::Csv) => "conversations.csv",
        (What::Conversations, Format::JsonLines) => "conversations.jsonl",
    };
    let body = Writing::new(&portal, export, what, format)?.into_stream(door, portal.operator().clone());
    Ok(Reply::stream(content_type, body)
        .header("content-disposition", format!("attachment; filename=\"{file}\""))
        .personal())
}

/// What the last line says.
#[derive(Serialize)]
struct Manifest<'a> {
    what: &'static str,
    tenant: &'a str,
    site: &'a str,
    taken: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversations: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<u64>,
    sha256: String,
}

/// An export that is being written. Dropped with the body that it is, when nobody reads on.
struct Writing {
    export: Export,
    what: What,
    format: Format,
    tenant: String,
    site: String,
    taken: String,
    /// How old the moment was by then.
    behind_ms: Option<u64>,
    hash: Sha256,
    /// Written, and not yet sent.
    out: Vec<u8>,
    contacts: u64,
    conversations: u64,
    messages: u64,
    unreadable: u64,
    /// The conversation that the last piece was of.
    current: Option<String>,
}

impl Writing {
    fn new(portal: &Portal, export: Export, what: What, format: Format) -> Result<Self> {
        let scope = portal.scope();
        let behind_ms = export.behind().map(text::milliseconds);
        let mut writing = Self {
            export,
            behind_ms,
            what,
            format,
            tenant: scope.tenant.as_str().to_owned(),
            site: scope.site.as_str().to_owned(),
            taken: portal.privet().now().to_string(),
            hash: Sha256::new(),
            out: Vec::with_capacity(PIECE),
            contacts: 0,
            conversations: 0,
            messages: 0,
            unreadable: 0,
            current: None,
        };
        match (format, what) {
            (Format::Csv, What::Contacts) => writing.row(CONTACT_COLUMNS)?,
            (Format::Csv, What::Conversations) => writing.row(MESSAGE_COLUMNS)?,
            (Format::JsonLines, _) => {}
        }
        Ok(writing)
    }

    fn into_stream(self, door: Option<Door>, operator: Operator) -> BodyStream {
        let (door, ends) = (Arc::new((door, operator)), Instant::now() + LONGEST);
        Box::pin(stream::unfold(Some(self), move |writing| {
            let door = door.clone();
            async move {
                let mut writing = writing?;
                let open = match &door.0 {
                    Some(entrance) => entrance.is_open(&door.1).await.unwrap_or(false),
                    None => true,
                };
                if !open || Instant::now() > ends {
                    tracing::warn!(
                        "an export ended before its end: the operator's session did, or its time is over"
                    );
                    return Some((Err(io::Error::other("the export was cut")), None));
                }
                match writing.piece().await {
                    Ok((piece, true)) => Some((Ok(piece), None)),
                    Ok((piece, false)) => Some((Ok(piece), Some(writing))),
                    Err(error) => {
                        tracing::error!("an export ended before its end: {error}");
                        Some((Err(io::Error::other("the export was cut")), None))
                    }
                }
            }
        }))
    }

    /// The next piece of the body, and whether it is the last one.
    async fn piece(&mut self) -> Result<(Bytes, bool)> {
        let mut last = false;
        while !last && self.out.len() < PIECE {
            last = !match self.what {
                What::Contacts => self.write_contacts().await?,
                What::Conversations => self.write_conversation().await?,
            };
        }
        self.hash.update(&self.out);
        if last {
            self.write_manifest()?;
        }
        Ok((std::mem::take(&mut self.out).into(), last))
    }

    /// False at the end.
    async fn write_contacts(&mut self) -> Result<bool> {
        let contacts = self.export.next_contacts().await?;
        for contact in &contacts {
            self.contacts += 1;
            match self.format {
                Format::JsonLines => self.line(contact)?,
                Format::Csv => self.contact_row(contact)?,
            }
        }
        Ok(!contacts.is_empty())
    }

    /// False at the end.
    async fn write_conversation(&mut self) -> Result<bool> {
        let Some(piece) = self.export.next_conversation().await? else { return Ok(false) };
        let goes_on = self.current.as_ref() == Some(&piece.id);
        self.unreadable += u64::from(piece.unreadable);
        if goes_on && piece.messages.is_empty() {
            return Ok(true);
        }
        self.conversations += u64::from(!goes_on);
        self.messages += piece.messages.len() as u64;
        match self.format {
            Format::JsonLines => self.line(&piece)?,
            Format::Csv if piece.messages.is_empty() => self.message_row(&piece, None)?,
            Format::Csv => piece.messages.iter().try_for_each(|m| self.message_row(&piece, Some(m)))?,
        }
        self.current = Some(piece.id);
        Ok(true)
    }

    fn write_manifest(&mut self) -> Result<()> {
        let contacts = (self.what == What::Contacts).then_some(self.contacts);
        let (conversations, messages) = match self.what {
            What::Contacts => (None, None),
            What::Conversations => (Some(self.conversations), Some(self.messages)),
        };
        let sha256 = HEXLOWER.encode(&std::mem::take(&mut self.hash).finalize());
        match (self.format, self.what) {
            (Format::JsonLines, _) => {
                let manifest = Manifest {
                    what: if contacts.is_some() { "contacts" } else { "conversations" },
                    tenant: &self.tenant,
                    site: &self.site,
                    taken: &self.taken,
                    behind_ms: self.behind_ms,
                    contacts,
                    conversations,
                    messages,
                    unreadable: messages.map(|_| self.unreadable),
                    sha256,
                };
                let manifest = serde_json::to_value(manifest).map_err(unwritable)?;
                self.line(&serde_json::json!({ "manifest": manifest }))
            }
            (Format::Csv, What::Contacts) => {
                let counts = format!("contacts={}", self.contacts);
                let (taken, sha256) = (format!("taken={}", self.taken), format!("sha256={sha256}"));
                self.row(["#manifest", &counts, &taken, &sha256, &self.behind_cell()])
            }
            (Format::Csv, What::Conversations) => {
                let conversations = format!("conversations={}", self.conversations);
                let messages = format!("messages={}", self.messages);
                let unreadable = format!("unreadable={}", self.unreadable);
                let (taken, sha256) = (format!("taken={}", self.taken), format!("sha256={sha256}"));
                self.row([
                    "#manifest",
                    &conversations,
                    &messages,
                    &taken,
                    &sha256,
                    &unreadable,
                    &self.behind_cell(),
                    "",
                    "",
                    "",
                ])
            }
        }
    }

    fn behind_cell(&self) -> String {
        self.behind_ms.map(|ms| format!("behind_ms={ms}")).unwrap_or_default()
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.out, value).map_err(unwritable)?;
        self.out.push(b'\n');
        Ok(())
    }

    fn contact_row(&mut self, c: &ContactSummary) -> Result<()> {
        let (id, country) = (c.id.to_string(), c.country.map(String::from).unwrap_or_default());
        let (created, last_seen) = (c.created.to_string(), c.last_seen.to_string());
        self.row([&id, &country, &created, &last_seen, &c.conversations.to_string()])
    }

    fn message_row(&mut self, c: &ExportedConversation, message: Option<&Message>) -> Result<()> {
        let (number, at) = message.map(|m| (m.number.to_string(), m.at.to_string())).unwrap_or_default();
        let (contact, closed) = (c.contact.as_deref(), c.closed.as_deref());
        self.row([
            &c.id,
            contact.unwrap_or_default(),
            &c.opened,
            closed.unwrap_or_default(),
            &number,
            &at,
            message.map(|m| channel(m.channel)).unwrap_or_default(),
            message.map(|m| author(m.author)).unwrap_or_default(),
            message.map(|m| m.text.as_str()).unwrap_or_default(),
            message.and_then(|m| m.page.as_ref()).map(PageUrl::as_str).unwrap_or_default(),
        ])
    }

    fn row<const N: usize>(&mut self, cells: [&str; N]) -> Result<()> {
        let mut rows = csv::Writer::from_writer(&mut self.out);
        rows.write_record(cells.map(inert).iter().map(|cell| cell.as_bytes())).map_err(unwritable)?;
        rows.flush().map_err(unwritable)
    }
}

/// As JSON says it.
fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::AiSearch => "ai-search",
        Channel::LiveSupport => "live-support",
        _ => "other",
    }
}

/// As JSON says it.
pub(super) fn author(author: Author) -> &'static str {
    match author {
        Author::Visitor => "visitor",
        Author::Assistant => "assistant",
        Author::Agent => "agent",
        _ => "other",
    }
}

fn unwritable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::unavailable("export", error)
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
