//! Getting and listing.

use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::local::server::codec;
use crate::local::server::kinds::Kind;
use crate::local::server::objects::Call;
use crate::local::server::query::Query;
use crate::local::server::query::Since;
use crate::local::server::refusal::Refusal;
use crate::local::server::selector::FieldSelector;
use crate::local::server::selector::LabelSelector;
use crate::local::store;
use crate::local::store::Row;

/// Which objects of a kind are meant.
#[derive(Debug)]
pub(in crate::local::server) struct Selection {
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
}

/// As much of an object as a label selector looks at; the rest is skipped without being built.
#[derive(Deserialize)]
struct Labelled {
    metadata: Value,
}

impl Selection {
    pub(in crate::local::server) fn of(query: &Query, kind: &Kind) -> Result<Self, Refusal> {
        let labels =
            query.get("labelSelector").map(LabelSelector::parse).transpose().map_err(Refusal::BadRequest)?;
        let fields = query.get("fieldSelector").map(|text| FieldSelector::parse(text, kind)).transpose();
        Ok(Self { labels, fields: fields.map_err(Refusal::BadRequest)? })
    }

    pub(in crate::local::server) fn everything() -> Self {
        Self { labels: None, fields: None }
    }

    pub(in crate::local::server) fn is_everything(&self) -> bool {
        self.labels.is_none() && self.fields.is_none()
    }

    /// The only name that can match, if there is one.
    pub(in crate::local::server) fn name(&self) -> Option<&str> {
        self.fields.as_ref().and_then(FieldSelector::name)
    }

    pub(in crate::local::server) fn matches(&self, kind: &Kind, row: &Row) -> Result<bool, Refusal> {
        if self.is_everything() {
            return Ok(true);
        }
        let unreadable = |error| Refusal::Internal(format!("{} is stored unreadably: {error}", row.key));
        if let Some(labels) = &self.labels {
            let Labelled { metadata } = serde_json::from_slice(codec::json(row)).map_err(unreadable)?;
            if !labels.matches(&json!({"metadata": metadata})) {
                return Ok(false);
            }
        }
        let Some(fields) = &self.fields else { return Ok(true) };
        let mut object = codec::decode(row)?;
        kind.to_served(&mut object);
        Ok(fields.matches(&object))
    }
}

/// `GET` of an object.
pub(in crate::local::server) fn get(call: &Call, name: &str) -> Result<Row, Refusal> {
    let row = call.row(name)?;
    match call.query.since()? {
        // The row may come from a commit that is not yet published.
        Since::Revision(asked) if asked > call.server.store.revision().max(row.revision) => {
            Err(ahead(asked, &call.server.store))
        }
        _ => Ok(row),
    }
}

fn ahead(asked: u64, store: &store::Store) -> Refusal {
    Refusal::Ahead { asked, current: store.revision() }
}

/// A page of a list.
#[derive(Debug)]
pub(in crate::local::server) struct Listed {
    pub rows: Vec<Row>,
    pub revision: u64,
    /// The token for the next page.
    pub next: Option<String>,
    pub remaining: Option<usize>,
}

/// Where a paged list goes on: at which revision, after which key, how many rows there are after that.
#[derive(Debug, PartialEq, Eq)]
struct Token {
    revision: u64,
    remaining: Option<usize>,
    after: String,
}

impl Token {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ':');
        if parts.next()? != "v1" {
            return None;
        }
        let revision = parts.next()?.parse().ok()?;
        let remaining = match parts.next()? {
            "" => None,
            count => Some(count.parse().ok()?),
        };
        Some(Self { revision, remaining, after: parts.next()?.to_owned() })
    }

    fn text(&self) -> String {
        let remaining = self.remaining.map(|count| count.to_string()).unwrap_or_default();
        format!("v1:{}:{remaining}:{}", self.revision, self.after)
    }
}

/// How many rows are read at once when many of them may not match.
const CHUNK: usize = 1_000;

/// `GET` of a collection.
pub(in crate::local::server) async fn list(call: &Call, selection: &Selection) -> Result<Listed, Refusal> {
    let limit = match call.query.number("limit")? {
        None | Some(0) => usize::MAX,
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let token = call.query.get("continue").map(|text| {
        let malformed =
            || Refusal::BadRequest("invalid continue token, the token is not one of ours".to_owned());
        Token::parse(text).ok_or_else(malformed)
    });
    let token = token.transpose()?;
    let since = call.query.since()?;
    let at = match (&token, since, call.query.get("resourceVersionMatch")) {
        (Some(_), Since::Revision(_), _) => {
            return Err(Refusal::BadRequest(
                "specifying resource version is not allowed when using continue".to_owned(),
            ));
        }
        (Some(token), ..) => Some(token.revision),
        (None, Since::Revision(revision), Some("Exact")) => Some(revision),
        (None, Since::Newest, Some(_)) => {
            return Err(Refusal::BadRequest(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
                    .to_owned(),
            ));
        }
        (None, Since::Any, Some("Exact")) => {
            return Err(Refusal::BadRequest(
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\""
                    .to_owned(),
            ));
        }
        (None, _, None | Some("NotOlderThan")) => None,
        (None, _, Some(other)) => {
            return Err(Refusal::BadRequest(format!(
                "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""
            )));
        }
    };
    let listed = page(call, selection, token, at, limit).await?;
    match since {
        Since::Revision(asked) if asked > listed.revision => Err(ahead(asked, &call.server.store)),
        _ => Ok(listed),
    }
}

async fn page(
    call: &Call,
    selection: &Selection,
    token: Option<Token>,
    mut at: Option<u64>,
    limit: usize,
) -> Result<Listed, Refusal> {
    let prefix = call.scope(selection);
    let mut rest = token.as_ref().and_then(|token| token.remaining);
    let first = token.is_none();
    let mut after = token.map(|token| format!("{prefix}{}", token.after));
    let mut found: Vec<Row> = Vec::new();
    loop {
        let want = limit.saturating_sub(found.len());
        let chunk = if selection.is_everything() { want } else { CHUNK };
        let page = call.server.store.range(&prefix, after.as_deref(), chunk, at).await.map_err(expired)?;
        at = Some(page.revision);
        let (mut last, mut more) = (None, page.more);
        for row in page.rows {
            if found.len() == limit {
                more = true;
                break;
            }
            last = Some(row.key.to_string());
            if selection.matches(&call.kind, &row)? {
                found.push(row);
            }
        }
        after = last.or(after);
        if more && found.len() < limit {
            continue;
        }
        // Counted once; the following pages subtract.
        if selection.is_everything() && more && first {
            rest = Some(found.len() + call.server.store.count(&prefix, after.as_deref()).await?);
        }
        let remaining = rest.map(|rest| rest.saturating_sub(found.len())).filter(|_| more);
        let next = after.filter(|_| more).map(|after| {
            let after = after.strip_prefix(&prefix).unwrap_or(&after).to_owned();
            Token { revision: page.revision, remaining, after }.text()
        });
        return Ok(Listed { rows: found, revision: page.revision, next, remaining });
    }
}

fn expired(error: store::Error) -> Refusal {
    match error {
        store::Error::Gone { .. } => Refusal::Expired(
            "The provided continue parameter is too old to display a consistent list result. You must start a new list \
             without the continue parameter."
                .to_owned(),
        ),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_where_the_list_goes_on() {
        for token in [
            Token { revision: 7, remaining: Some(3), after: "default/a".to_owned() },
            Token { revision: 7, remaining: None, after: "system:node:x".to_owned() },
        ] {
            assert_eq!(Token::parse(&token.text()), Some(token));
        }
        for text in ["", "v1", "v1:x::a", "v2:1::a", "v1:1:x:a", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
