/// A file that pages load.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its content type.
    pub content_type: &'static str,
    /// Its content.
    pub content: &'static str,
}

impl Asset {
    /// How long browsers may keep it.
    pub const CACHE_CONTROL: &'static str = "public, max-age=300";
}

/// `GET /shop.css`
pub const STYLE: Asset =
    Asset { content_type: "text/css; charset=utf-8", content: include_str!("../assets/shop.css") };

/// `GET /chat.js`
pub const SCRIPT: Asset =
    Asset { content_type: "text/javascript; charset=utf-8", content: include_str!("../assets/chat.js") };
