//! What changes something, on a form of a page or by a program. Each takes requests of the portal's own pages only.

use privet::contact::{ContactId, ConversationId, NoteId};
use privet::portal::Portal;
use serde_json::json;

use super::ask::{Answer, Ask, Form, Params};

/// From where a request came is asked first; which site, second.
fn begun(ask: &Ask<'_>, params: &Params<'_>) -> Result<(Portal, Form), super::ask::Failure> {
    let form = ask.form()?;
    Ok((ask.portal(params.site())?, form))
}

fn contact(ask: &Ask<'_>, portal: &Portal, id: ContactId) -> String {
    ask.link(&format!("/{}/contacts/{id}", portal.scope().site), &[])
}

fn conversation(ask: &Ask<'_>, portal: &Portal, id: ConversationId) -> String {
    ask.link(&format!("/{}/conversations/{id}", portal.scope().site), &[])
}

pub(super) async fn add_note(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let (portal, form) = begun(ask, params)?;
    let id = params.read("contact")?;
    let note = portal.add_note(id, form.get("text")).await?;
    Ok(ask.done(&contact(ask, &portal, id), 201, &note))
}

pub(super) async fn erase_note(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let (portal, _) = begun(ask, params)?;
    let (id, note) = (params.read("contact")?, params.read::<NoteId>("note")?);
    portal.erase_note(id, note).await?;
    Ok(ask.done(&contact(ask, &portal, id), 200, &json!({ "notes": 1 })))
}

pub(super) async fn set_blocked(ask: &Ask<'_>, params: &Params<'_>, blocked: bool) -> Answer {
    let (portal, _) = begun(ask, params)?;
    let id = params.read("contact")?;
    portal.set_blocked(id, blocked).await?;
    Ok(ask.done(&contact(ask, &portal, id), 200, &json!({ "blocked": blocked })))
}

pub(super) async fn erase_contact(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let (portal, _) = begun(ask, params)?;
    let removed = portal.erase_contact(params.read("contact")?).await?;
    Ok(ask.done(&ask.link(&format!("/{}/contacts", portal.scope().site), &[]), 200, &removed))
}

pub(super) async fn answer(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let (portal, form) = begun(ask, params)?;
    let id = params.read("conversation")?;
    let message = portal.answer(id, form.get("text")).await?;
    Ok(ask.done(&conversation(ask, &portal, id), 201, &json!({ "message": message.to_string() })))
}

pub(super) async fn close(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let (portal, _) = begun(ask, params)?;
    let id = params.read("conversation")?;
    portal.close_conversation(id).await?;
    Ok(ask.done(&conversation(ask, &portal, id), 200, &json!({ "closed": true })))
}

pub(super) async fn erase_conversation(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let (portal, _) = begun(ask, params)?;
    let removed = portal.erase_conversation(params.read("conversation")?).await?;
    Ok(ask.done(&ask.link(&format!("/{}/conversations", portal.scope().site), &[]), 200, &removed))
}

pub(super) async fn erase_message(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let (portal, _) = begun(ask, params)?;
    let id = params.read("conversation")?;
    let removed = portal.erase_message(id, params.read("number")?).await?;
    Ok(ask.done(&conversation(ask, &portal, id), 200, &removed))
}
