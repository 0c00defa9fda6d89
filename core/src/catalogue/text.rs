use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::error::{Error, Result};

/// A language tag of BCP 47 in its short form: `en`, `de`, `pt-BR`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(Arc<str>);

impl Language {
    /// Takes a tag; the primary part is put in lower case, as RFC 5646 recommends.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not a language tag.
    pub fn new(tag: impl AsRef<str>) -> Result<Self> {
        let tag = tag.as_ref();
        let mut parts = tag.split('-');
        let primary = parts.next().unwrap_or("");
        let fits = (2..=3).contains(&primary.len())
            && primary.bytes().all(|b| b.is_ascii_alphabetic())
            && tag.len() <= 35
            && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !fits {
            return Err(Error::config(
                format!("`{}` is not a language tag", tag.escape_default()),
                "write it as BCP 47 does, such as `en` or `pt-BR`",
            ));
        }
        let rest = &tag[primary.len()..];
        Ok(Self(format!("{}{rest}", primary.to_ascii_lowercase()).into()))
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first hyphen.
    #[must_use]
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }
}

impl TryFrom<String> for Language {
    type Error = Error;
    fn try_from(tag: String) -> Result<Self> {
        Self::new(tag)
    }
}

impl From<Language> for String {
    fn from(l: Language) -> Self {
        l.0.as_ref().to_owned()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Language({})", self.0)
    }
}

/// One text in one or several languages. In TOML either a string, which is in the first language of the
/// catalogue, or a table with a key per language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    plain: Option<String>,
    by_language: BTreeMap<Language, String>,
}

impl Text {
    pub(crate) fn set(&mut self, language: Option<Language>, text: String) {
        match language {
            None => self.plain = Some(text),
            Some(l) => {
                self.by_language.insert(l, text);
            }
        }
    }

    /// Puts the plain string under the first language of the catalogue.
    pub(crate) fn settle(&mut self, first: &Language) {
        if let Some(text) = self.plain.take() {
            self.by_language.entry(first.clone()).or_insert(text);
        }
    }

    pub(crate) fn has(&self, language: &Language) -> bool {
        self.by_language.get(language).is_some_and(|t| !t.trim().is_empty())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.plain.as_ref().is_none_or(|t| t.trim().is_empty())
            && self.by_language.values().all(|t| t.trim().is_empty())
    }

    /// The text in this language, or else in the first language that has it.
    #[must_use]
    pub fn get(&self, language: &Language) -> &str {
        self.by_language
            .get(language)
            .or_else(|| self.by_language.values().next())
            .or(self.plain.as_ref())
            .map_or("", String::as_str)
    }
}

/// Each language with its text.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        match &self.plain {
            Some(plain) if self.by_language.is_empty() => s.serialize_str(plain),
            _ => self.by_language.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a table with a text per language such as { en = \"…\", de = \"…\" }")
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<Text, E> {
                Ok(Text { plain: Some(text.to_owned()), by_language: BTreeMap::new() })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Text, A::Error> {
                let mut text = Text::default();
                while let Some((tag, value)) = map.next_entry::<String, String>()? {
                    text.by_language.insert(Language::new(tag).map_err(A::Error::custom)?, value);
                }
                Ok(text)
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        assert_eq!(Language::new("DE").unwrap().as_str(), "de");
        assert_eq!(Language::new("pt-BR").unwrap().primary(), "pt");
        for bad in ["", "d", "german", "de_AT", "de-", "1e", "<b>"] {
            assert!(Language::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_plain_text_is_in_the_first_language() {
        let (en, de) = (Language::new("en").unwrap(), Language::new("de").unwrap());
        let mut t = Text::default();
        t.set(None, "shop".into());
        t.settle(&en);
        assert!(t.has(&en) && !t.has(&de));
        assert_eq!(t.get(&de), "shop");
    }
}
