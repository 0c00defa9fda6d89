//! The pages of the shop.

use askama::Template;
use privet::catalogue::category_id;
use privet::contact::{Author, Message};
use privet::{Analytics, Consent, Error, Granted, Visitor};

use crate::articles::Article;
use crate::{CHAT, Shop};

/// Who looks at a page, and the banner for it.
#[derive(Clone, Copy)]
pub struct View<'r> {
    /// Who.
    pub visitor: &'r Visitor,
    /// What they decided.
    pub consent: &'r Consent,
    /// The banner, safe HTML.
    pub banner: &'r str,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("visitor", self.visitor).finish_non_exhaustive()
    }
}

/// What every page has around its own part.
struct Frame {
    chat: String,
    banner: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    frame: Frame,
    articles: &'a [Article],
}

#[derive(Template)]
#[template(path = "article.html")]
struct ArticlePage<'a> {
    frame: Frame,
    article: &'a Article,
    readers: u64,
}

#[derive(Template)]
#[template(path = "not_found.html")]
struct NotFoundPage {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "chat.html")]
struct ChatWidget<'a> {
    page: &'a str,
    open: bool,
    can_keep: bool,
    messages: String,
}

#[derive(Template)]
#[template(path = "messages.html")]
struct Messages<'a> {
    messages: &'a [Message],
}

fn is_visitors(message: &Message) -> bool {
    message.author == Author::Visitor
}

pub(crate) fn rendered(page: &impl Template) -> privet::Result<String> {
    page.render().map_err(|e| Error::unavailable("template", e))
}

impl View<'_> {
    async fn frame(&self, page: &str) -> privet::Result<Frame> {
        let said = self.visitor.messages().await?;
        let chat = ChatWidget {
            page,
            open: !said.is_empty(),
            // What was written under this visit can be kept once contacts are granted, if the visitor says so.
            can_keep: self.consent.allows(category_id::CONTACTS)
                && self.visitor.contact().is_none()
                && self.visitor.visit().is_active(CHAT),
            messages: rendered(&Messages { messages: &said })?,
        };
        Ok(Frame { chat: rendered(&chat)?, banner: self.banner.to_owned() })
    }
}

impl Shop {
    /// `GET /`
    ///
    /// # Errors
    /// What the store says.
    pub async fn home(&self, view: View<'_>) -> privet::Result<String> {
        rendered(&HomePage { frame: view.frame("/").await?, articles: self.articles.all() })
    }

    /// `GET /articles/{slug}`: none when there is no such article. Readers who allow it are counted; `reader` is the
    /// cookie that the last count left, which privet hides from us without their consent.
    ///
    /// # Errors
    /// What the store says.
    pub async fn article(
        &self,
        slug: &str,
        view: View<'_>,
        counting: Option<&Granted<Analytics>>,
        reader: Option<&str>,
    ) -> privet::Result<Option<String>> {
        let Some(article) = self.articles.get(slug) else { return Ok(None) };
        if let Some(granted) = counting {
            self.readers.note(article.slug, reader, granted);
        }
        let frame = view.frame(&format!("/articles/{}", article.slug)).await?;
        let readers = self.readers.count(article.slug);
        rendered(&ArticlePage { frame, article, readers }).map(Some)
    }

    /// What stands where nothing is.
    ///
    /// # Errors
    /// What the store says.
    pub async fn not_found(&self, view: View<'_>) -> privet::Result<String> {
        rendered(&NotFoundPage { frame: view.frame("/").await? })
    }

    /// `GET /chat/messages`, as HTML.
    ///
    /// # Errors
    /// None that is known.
    pub fn messages(&self, messages: &[Message]) -> privet::Result<String> {
        rendered(&Messages { messages })
    }
}
