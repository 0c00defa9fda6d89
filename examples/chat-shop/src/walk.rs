//! What a walk through the shop asks for, on any framework.

/// Every page, and some that are none.
pub const PAGES: [&str; 12] = [
    "/",
    "/articles/roses",
    "/articles/none",
    "/nowhere",
    "/chat/messages",
    "/contacts",
    "/login",
    "/privacy/portal",
    "/shop.css",
    "/privacy",
    "/privacy/banner",
    "/privacy/cookies",
];

/// A message to the search, as a form.
pub const QUESTION: &str = "text=roses&channel=ai-search&page=/";

/// Messages as JSON: one to live support, and one that is broken.
pub const MESSAGES: [&str; 2] = [r#"{"text":"help","channel":"live-support","page":"/"}"#, "{"];
