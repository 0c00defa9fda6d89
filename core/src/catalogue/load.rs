use std::path::Path;

use super::build::CatalogueBuilder;
use super::lint::CatalogueError;
use crate::error::{Error, Result};

/// Line and column, both from 1, of a byte offset.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| {
        Error::config(
            format!("the catalogue file {} cannot be read: {e}", path.display()),
            "name a file of UTF-8 text that this user may read; a relative path counts from the folder the app was started in",
        )
    })
}

pub(super) fn from_toml(text: &str) -> Result<CatalogueBuilder> {
    toml::from_str(text).map_err(|e| {
        let (line, column) = e.span().map_or((1, 1), |s| place(text, s.start));
        CatalogueError::Toml { line, column, message: e.message().to_owned() }.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(text: &str) -> (usize, usize, String) {
        match from_toml(text).unwrap_err() {
            Error::Catalogue(CatalogueError::Toml { line, column, message }) => (line, column, message),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn broken_toml_is_placed() {
        let (line, column, _) = failing("[controller]\nname = \"x\"\ncontact = \n");
        assert_eq!(line, 3);
        assert!(column >= 10, "{column}");
        assert_eq!(failing("[[service]]\nid = \"a\n").0, 2);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent.toml");
        let binary = folder.path().join("binary.toml");
        std::fs::write(&binary, [0xff, 0xfe]).unwrap();
        for path in [absent.as_path(), folder.path(), binary.as_path()] {
            let said = read(path).unwrap_err().to_string();
            assert!(said.contains(&path.display().to_string()) && said.contains("UTF-8"), "{said}");
        }
        let good = folder.path().join("good.toml");
        std::fs::write(&good, "[controller]\nname = \"Shop\"\ncontact = \"c\"\n").unwrap();
        assert_eq!(crate::Catalogue::from_file(&good).unwrap().controller().name, "Shop");
    }

    #[test]
    fn unknown_keys_are_placed_and_named() {
        let (line, column, message) = failing("[controller]\nname = \"x\"\nphone = \"1\"\n");
        assert_eq!((line, column), (3, 1));
        assert!(message.contains("phone"), "{message}");
        let (line, _, message) =
            failing("[[service]]\nid = \"s\"\n\n[[service.entry]]\nname = \"n\"\nexpires = \"1 day\"\n");
        assert_eq!(line, 6);
        assert!(message.contains("expires"), "{message}");
    }

    #[test]
    fn a_wrong_word_is_placed() {
        let (line, _, message) = failing("[[service]]\nid = \"s\"\nlegal_basis = \"vibes\"\n");
        assert_eq!(line, 3);
        assert!(message.contains("vibes"), "{message}");
    }
}
