//! The chat: questions to the site's own search, and messages to live support.

use privet::contact::{Author, Channel, Message, NewMessage, PageUrl, PageUrlPolicy};
use privet::{Error, Visitor};
use serde::Deserialize;

use crate::{CHAT, Shop};

/// `POST /chat/messages`: what a visitor sends, as a form or as JSON.
#[derive(Debug, Deserialize)]
pub struct Sent {
    text: String,
    channel: Channel,
    #[serde(default)]
    page: String,
}

impl Sent {
    /// What to send instead, for who sends something else.
    pub const EXPECTED: &'static str = "send text, channel and page";

    fn page(&self) -> Option<PageUrl> {
        PageUrl::minimise(&self.page, &PageUrlPolicy::default())
    }

    /// Where a form comes back to: the page it was sent from, if that is one of the site.
    #[must_use]
    pub fn back(&self) -> String {
        let page = self.page();
        let page = page.as_ref().map(PageUrl::as_str).filter(|p| p.starts_with('/')).unwrap_or("/");
        format!("{page}#chat")
    }
}

impl Shop {
    /// Stores a message and answers it; gives both.
    ///
    /// # Errors
    /// A message that cannot be one, or what the store says.
    pub async fn answer(&self, visitor: &Visitor, sent: &Sent) -> privet::Result<Vec<Message>> {
        let asked = NewMessage::new(sent.channel, sent.text.as_str())?.page(sent.page());
        let posted = visitor.post(CHAT, asked).await?;
        let reply = if sent.channel == Channel::LiveSupport {
            if let Some(desk) = &self.support {
                desk.forward(visitor.visit(), &posted, "live-support", &sent.text).await;
            }
            "Thank you. A colleague will answer here as soon as possible.".to_owned()
        } else {
            let found = self.articles.search(&sent.text).map_err(|e| Error::unavailable("search", e))?;
            match found.as_slice() {
                [] => "I found nothing about that in our articles. Live support may know more.".to_owned(),
                found => found
                    .iter()
                    .map(|a| format!("{}: {} /articles/{}", a.title, a.summary, a.slug))
                    .collect::<Vec<_>>()
                    .join("\n"),
            }
        };
        let reply = NewMessage::new(sent.channel, reply)?.author(Author::Assistant);
        let replied = visitor.post(CHAT, reply).await?;
        let messages = visitor.messages().await?;
        Ok(messages.into_iter().filter(|m| m.id == posted.message || m.id == replied.message).collect())
    }
}
