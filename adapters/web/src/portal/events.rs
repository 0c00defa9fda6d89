//! New messages of a conversation, as they come.
//!
//! `GET {base}/portal/{site}/conversations/{id}/events?after=N` answers Server-Sent Events: `message` with a message as
//! JSON (`number`, `at`, `author`, `text`), and `closed` once, when the conversation is. `Last-Event-ID` is the number of
//! the last message, so that a browser that comes again goes on where it was.
//!
//! The stream ends when the operator's session does, when their role no longer reads messages, when the conversation is
//! closed or erased, and after five minutes; the browser then asks again, and gets 204, 401, 403 or 404 where there is
//! nothing to come, which ends its asking. Each opening is logged as reading, since it may begin with any number.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_timer::Delay;
use futures_util::stream;
use privet::contact::{ConversationId, Message};
use privet::portal::Portal;
use privet::{Error, Result, Visit};

use super::Guard;
use super::export::author;
use super::text::inert;
use crate::reply::{Body, Reply};
use crate::request::Request;

/// How often it is looked, and for how long.
#[derive(Clone, Copy)]
struct Pace {
    step: Duration,
    /// A sign of life is sent after so long without news, so that nothing between takes the connection for dead.
    quiet: Duration,
    longest: Duration,
}

const PACE: Pace =
    Pace { step: Duration::from_secs(1), quiet: Duration::from_secs(15), longest: Duration::from_secs(300) };

/// `GET {base}/portal/{site}/conversations/{id}/events`
pub(super) async fn events(
    guard: &Arc<dyn Guard>,
    visit: &Visit,
    request: &Request,
    portal: Portal,
    id: ConversationId,
) -> Result<Reply> {
    follow(guard, visit, request, portal, id, PACE).await
}

async fn follow(
    guard: &Arc<dyn Guard>,
    visit: &Visit,
    request: &Request,
    portal: Portal,
    id: ConversationId,
    pace: Pace,
) -> Result<Reply> {
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| Error::invalid("this is no number of a message", "send `after=0`"))
    };
    let asked = request.query_value("after").map(|text| number(&text)).transpose()?.unwrap_or(0);
    let last = request.header("last-event-id").and_then(|text| number(text).ok()).unwrap_or(0);
    let after = asked.max(last);
    portal.conversation(id).await?;
    let (conversation, news) = portal.messages_after(id, after).await?;
    if conversation.closed.is_some() && news.is_empty() {
        // An EventSource that gets it does not come again (HTML standard, section 9.2.3).
        return Ok(Reply { status: 204, headers: Vec::new(), body: Body::Full(Bytes::new()) }.personal());
    }
    let following = Following {
        guard: guard.clone(),
        visit: visit.clone(),
        request: request.clone(),
        portal,
        id,
        after,
        pace,
        opened: Instant::now(),
        sent: None,
    };
    let pieces = stream::unfold(following, async |mut following| {
        let piece = following.next().await?;
        Some((Ok::<_, io::Error>(piece), following))
    });
    Ok(Reply::stream("text/event-stream", Box::pin(pieces)).header("x-accel-buffering", "no").personal())
}

/// Dropped with the body that it is, when nobody listens.
struct Following {
    guard: Arc<dyn Guard>,
    visit: Visit,
    request: Request,
    portal: Portal,
    id: ConversationId,
    /// The number of the last message that was sent.
    after: u32,
    pace: Pace,
    opened: Instant,
    /// When something was sent last; never, at first.
    sent: Option<Instant>,
}

enum Look {
    News(String),
    Nothing,
    Over,
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        let Some(mut sent) = self.sent else {
            self.sent = Some(Instant::now());
            return Some(Bytes::from_static(b"retry: 3000\n\n"));
        };
        while self.opened.elapsed() < self.pace.longest {
            match self.look().await {
                Ok(Look::News(text)) => {
                    self.sent = Some(Instant::now());
                    return Some(text.into());
                }
                Ok(Look::Nothing) => {}
                Ok(Look::Over) | Err(Error::NotFound { .. } | Error::NotAllowed { .. } | Error::Fenced) => {
                    return None;
                }
                Err(error) => {
                    tracing::error!("new messages could not be read: {error}");
                    return None;
                }
            }
            if sent.elapsed() >= self.pace.quiet {
                sent = Instant::now();
                self.sent = Some(sent);
                return Some(Bytes::from_static(b":\n\n"));
            }
            Delay::new(self.pace.step).await;
        }
        None
    }

    async fn look(&mut self) -> Result<Look> {
        let known = self.portal.operator();
        match self.guard.operator(&self.visit, &self.request).await? {
            Some(now) if now.tenant() == known.tenant() && now.name() == known.name() => {
                // They may have another role by now.
                self.portal = self.portal.privet().portal(&now, &self.portal.scope().site)?;
            }
            _ => return Ok(Look::Over),
        }
        let (conversation, messages) = self.portal.messages_after(self.id, self.after).await?;
        let mut news = String::new();
        for message in &messages {
            self.after = message.number;
            news.push_str(&event(message)?);
        }
        if !news.is_empty() {
            return Ok(Look::News(news));
        }
        if conversation.closed.is_none() {
            return Ok(Look::Nothing);
        }
        // Nothing comes after it.
        self.pace.longest = Duration::ZERO;
        Ok(Look::News("event: closed\ndata: {}\n\n".to_owned()))
    }
}

/// A message; JSON has no bare line end, so that its text opens no other event.
fn event(message: &Message) -> Result<String> {
    let data = serde_json::to_string(&serde_json::json!({
        "number": message.number,
        "at": message.at.to_string(),
        "author": author(message.author),
        "text": inert(&message.text),
    }))
    .map_err(|e| Error::unavailable("events", e))?;
    Ok(format!("id: {}\ndata: {data}\n\n", message.number))
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
