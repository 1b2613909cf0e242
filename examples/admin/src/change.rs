//! Changes of a good token: its label, its access, its end.

use app_tokens::access::Selection;
use app_tokens::{Access, TokenView};

use crate::look::find;
use crate::make::end;
use crate::options::{Extend, Narrow, Rename, Setting};
use crate::print::{end_of, note};
use crate::problem::Problem;
use crate::setting::Needs;

pub async fn rename(setting: &Setting, wish: &Rename) -> Result<(), Problem> {
    let who = setting.operator()?;
    let opened = setting.open(Needs::Seals).await?;
    let renamed = opened.tokens.rename(&who, wish.token.id, &wish.label).await?;
    told(&renamed, format_args!("is called {:?}", renamed.label().as_str()))
}

pub async fn narrow(setting: &Setting, wish: &Narrow) -> Result<(), Problem> {
    let who = setting.operator()?;
    let access = &wish.access;
    if access.scopes.is_empty() && access.resources.is_empty() && access.networks.is_empty() {
        return Err(Problem::usage("name what the token keeps: --scope, --resource or --network"));
    }
    let opened = setting.open(Needs::Seals).await?;
    opened.refuse_unknown_scopes(&wish.access.scopes)?;
    // What isn't named stays as it is. If another caller narrows the token meanwhile, this asks for
    // more than it has, and is refused.
    let now = find(&opened, wish.token.id).await?;
    let kept = Access::from_selections(
        named(&wish.access.scopes).unwrap_or_else(|| now.access().granted_scopes().clone()),
        named(&wish.access.resources).unwrap_or_else(|| now.access().granted_resources().clone()),
        named(&wish.access.networks).unwrap_or_else(|| now.access().granted_networks().clone()),
    )?;
    let narrowed = opened.tokens.narrow(&who, wish.token.id, kept).await?;
    told(&narrowed, "is narrowed; if it lost any access, what was issued under it is revoked")
}

pub async fn extend(setting: &Setting, wish: &Extend) -> Result<(), Problem> {
    let who = setting.operator()?;
    let opened = setting.open(Needs::Seals).await?;
    let extended = opened.tokens.extend(&who, wish.token.id, end(wish.expires)?).await?;
    told(&extended, end_of(extended.expires()))
}

/// Returns the items that were named, or `None` if there are none.
pub fn named<T: Ord + Clone>(items: &[T]) -> Option<Selection<T>> {
    (!items.is_empty()).then(|| Selection::only(items.iter().cloned()))
}

fn told(token: &TokenView, what: impl std::fmt::Display) -> Result<(), Problem> {
    note(format_args!("{} of {} {what}", token.id(), token.owner()));
    Ok(())
}
