//! Live support at somebody else's: what leaves is what the catalogue registers, made by privet's forwarder.

use std::time::Duration;

use privet::Visit;
use privet::contact::Posted;
use privet::ip::Outbound;

/// The recipient of the catalogue that messages to live support go to.
const RECIPIENT: &str = "support-desk";

/// The support desk's address, and the client that talks to it.
#[derive(Clone, Debug)]
pub struct SupportDesk {
    url: String,
    agent: ureq::Agent,
}

impl SupportDesk {
    /// A support desk at a URL.
    #[must_use]
    pub fn new(url: String) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .max_redirects(0)
            .user_agent("chat-shop")
            .build();
        Self { url, agent: config.into() }
    }

    /// Forwards a message. The message is stored already; when the desk cannot be reached it waits there.
    pub async fn forward(&self, visit: &Visit, posted: &Posted, channel: &str, text: &str) {
        let outbound = visit.forward_to(RECIPIENT).and_then(|f| {
            f.field("text", text)
                .field("channel", channel)
                .field("conversation", posted.conversation.to_string())
                .within(posted)
        });
        let sent = match outbound {
            Ok(outbound) => self.send(outbound).await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            tracing::error!("a message to live support was stored and not forwarded: {error}");
        }
    }

    async fn send(&self, outbound: Outbound) -> Result<(), String> {
        let (agent, url) = (self.agent.clone(), self.url.clone());
        let sending = tokio::task::spawn_blocking(move || {
            let request =
                outbound.headers.iter().fold(agent.post(&url), |r, (name, value)| r.header(name, value));
            request
                .content_type("application/json")
                .send(outbound.body.to_string())
                .map(drop)
                .map_err(|e| e.to_string())
        });
        sending.await.map_err(|e| e.to_string())?
    }
}
