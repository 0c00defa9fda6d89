//! Categories and their codes.

use std::sync::Arc;

use super::{Check, MAX_CATEGORIES, USEFUL_CATEGORIES};
use crate::catalogue::Category;
use crate::catalogue::declare::{CategoryDecl, KeepDecl};
use crate::catalogue::gate::{CategoryCode, LegalBasis, category_id};
use crate::catalogue::lint::Rule;
use crate::catalogue::text::Text;

impl Check<'_> {
    pub(super) fn categories(&mut self, declared: &[CategoryDecl]) -> Vec<Category> {
        let mut categories: Vec<Category> = Vec::new();
        for decl in declared {
            let at = format!("category {}", decl.id);
            if decl.id == category_id::NECESSARY {
                self.find(
                    Rule::NecessaryIsNotAsked,
                    &at,
                    "what is necessary is not asked for",
                    "remove the category and give its entries an `exempt` gate with a justification",
                );
                continue;
            }
            let fresh = !categories.iter().any(|c| c.id == decl.id);
            self.id_is_plain("category", &decl.id, fresh);
            let code = self.code(&at, decl);
            let Some(code) = code else {
                // Known by name, so that its entries are not reported a second time as unknown.
                self.codes.extend(CategoryCode::new(CategoryCode::MAX).map(|c| (decl.id.clone(), c)));
                continue;
            };
            if let Some(other) = categories.iter().find(|c| c.code == code) {
                let what = format!("code {} is already the one of `{}`", code.get(), other.id);
                self.find(
                    Rule::BadCode,
                    &at,
                    what,
                    "give every category a code of its own, and never give a code to another category",
                );
            }
            self.codes.insert(decl.id.clone(), code);
            let label = if decl.label.is_empty() && CategoryCode::built_in(&decl.id).is_some() {
                Text::default()
            } else {
                self.text(&at, "label", decl.label.clone())
            };
            let purpose = self.text(&at, "purpose", decl.purpose.clone());
            categories.push(Category {
                id: decl.id.clone(),
                code,
                label,
                purpose,
                sale_or_share: decl.sale_or_share,
                kept_on_withdrawal: decl
                    .on_withdrawal
                    .as_ref()
                    .and_then(|keep| self.keep(&at, &decl.id, keep)),
                purpose_version: decl.purpose_version.unwrap_or(1),
                material: [0; 32],
                facts: Arc::default(),
            });
        }
        if categories.len() > MAX_CATEGORIES {
            self.find(
                Rule::TooManyCategories,
                "catalogue",
                format!(
                    "{} categories are asked for; the device's cookie has room for {MAX_CATEGORIES}",
                    categories.len()
                ),
                "join those that serve one purpose",
            );
        } else if categories.len() > USEFUL_CATEGORIES {
            self.find(
                Rule::ManyCategories,
                "catalogue",
                format!("{} categories are asked for", categories.len()),
                "join those that serve one purpose; the device's cookie grows with each",
            );
        }
        categories
    }

    /// A basis that outlives the consent, for data that privet holds.
    fn keep(&mut self, at: &str, id: &str, decl: &KeepDecl) -> Option<(LegalBasis, Text)> {
        if id != category_id::CONTACTS {
            self.find(
                Rule::BadKeep,
                at,
                "privet holds nothing under this category that it could keep",
                "take `on_withdrawal` away; what the app itself holds is the app's to end",
            );
            return None;
        }
        if decl.keep == LegalBasis::Consent {
            self.find(
                Rule::BadKeep,
                at,
                "what was held on consent is to be kept on consent after that was withdrawn",
                "name another basis, or take `on_withdrawal` away: then it is erased",
            );
            return None;
        }
        Some((decl.keep, self.text(at, "on_withdrawal.reason", decl.reason.clone())))
    }

    pub(super) fn code(&mut self, at: &str, decl: &CategoryDecl) -> Option<CategoryCode> {
        match (CategoryCode::built_in(&decl.id), decl.code) {
            (Some(built_in), None) => Some(built_in),
            (Some(built_in), Some(code)) if built_in.get() == code => Some(built_in),
            (Some(built_in), Some(_)) => {
                self.find(
                    Rule::BadCode,
                    at,
                    format!("a built-in category has the code {}", built_in.get()),
                    "leave the code out",
                );
                None
            }
            (None, Some(code)) if (CategoryCode::FIRST_OWN..=CategoryCode::MAX).contains(&code) => {
                CategoryCode::new(code)
            }
            (None, _) => {
                let what = format!(
                    "a category of the app's own needs a code from {} to {}",
                    CategoryCode::FIRST_OWN,
                    CategoryCode::MAX
                );
                self.find(
                    Rule::BadCode,
                    at,
                    what,
                    "write `code = 8` or the next free one, and never give it to another category",
                );
                None
            }
        }
    }
}
