//! Lists in pages, newest first, as Cloud Run has them.
//!
//! A page token says where the last page ended, not how many came before; so what is made or deleted between two pages
//! is neither shown twice nor missed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;

use super::fault::Fault;

/// Items of a page when the client does not say, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// Where an item stands in a list: by time of creation, then by name.
pub(super) type Position = (Timestamp, String);

/// What a client asks of a list.
#[derive(Debug)]
pub(super) struct Page {
    size: usize,
    after: Option<Position>,
    /// What is listed. A token of one list leads nowhere in another.
    scope: String,
}

impl Page {
    /// Reads what a client asks of the list `scope`.
    pub(super) fn of(scope: String, page_size: i32, page_token: &str) -> Result<Self, Fault> {
        let size = match usize::try_from(page_size) {
            Ok(0) => USUAL,
            Ok(size) => size.min(MOST),
            Err(_) => return Err(Fault::invalid_field("page_size", "must not be negative")),
        };
        let foreign = || Fault::invalid_field("page_token", "is not one that this list gave out");
        let after = if page_token.is_empty() {
            None
        } else {
            let (listed, position) = read(page_token).ok_or_else(foreign)?;
            if listed != scope {
                return Err(foreign());
            }
            Some(position)
        };
        Ok(Self { size, after, scope })
    }

    /// Items of this page, at most.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Where the last page ended; none if this is the first.
    pub(super) fn after(&self) -> Option<&Position> {
        self.after.as_ref()
    }

    /// The token of the page after one that ends there.
    pub(super) fn token(&self, last: &Position) -> String {
        write(&self.scope, last)
    }

    /// The items of this page, and the token of the next; empty if this is the last.
    pub(super) fn cut<T>(&self, mut items: Vec<T>, position: impl Fn(&T) -> Position) -> (Vec<T>, String) {
        if let Some(after) = &self.after {
            items.retain(|item| position(item) < *after);
        }
        items = newest_first(items, &position);
        let is_last = items.len() <= self.size;
        items.truncate(self.size);
        let token = match items.last() {
            Some(last) if !is_last => self.token(&position(last)),
            _ => String::new(),
        };
        (items, token)
    }
}

/// A list in its order.
pub(super) fn newest_first<T>(mut items: Vec<T>, position: impl Fn(&T) -> Position) -> Vec<T> {
    items.sort_by_cached_key(|item| std::cmp::Reverse(position(item)));
    items
}

/// Where an object stands in a list.
pub(super) fn position<K: Resource>(object: &K) -> Position {
    let metadata = object.meta();
    let created = metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    (created, metadata.name.clone().unwrap_or_default())
}

fn write(scope: &str, (created, name): &Position) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}\n{name}\n{scope}", created.as_nanosecond()))
}

fn read(token: &str) -> Option<(String, Position)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let mut parts = text.splitn(3, '\n');
    let created = Timestamp::from_nanosecond(parts.next()?.parse().ok()?).ok()?;
    let name = parts.next()?.to_owned();
    Some((parts.next()?.to_owned(), (created, name)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(second: i64, name: &str) -> Position {
        (Timestamp::from_second(second).unwrap(), name.to_owned())
    }

    #[test]
    fn a_token_leads_on_only_in_its_own_list() {
        let page = Page::of("jobs of a".to_owned(), 1, "").unwrap();
        let (_, token) = page.cut(vec![second(1, "a"), second(2, "b")], Clone::clone);
        assert!(Page::of("jobs of a".to_owned(), 1, &token).is_ok());
        for (scope, token) in [("jobs of b", token.as_str()), ("jobs of a", "nonsense"), ("jobs of a", "e30")]
        {
            let fault = Page::of(scope.to_owned(), 1, token).unwrap_err();
            assert_eq!(fault.violations()[0].field, "page_token");
        }
        assert_eq!(Page::of(String::new(), -1, "").unwrap_err().violations()[0].field, "page_size");
    }

    #[test]
    fn what_comes_and_goes_between_pages_disturbs_nothing() {
        let all =
            |names: &[(i64, &str)]| names.iter().map(|(at, name)| second(*at, name)).collect::<Vec<_>>();
        let page = Page::of(String::new(), 2, "").unwrap();
        let (first, token) = page.cut(all(&[(1, "a"), (2, "b"), (2, "c"), (3, "d")]), Clone::clone);
        assert_eq!(first, all(&[(3, "d"), (2, "c")]));
        // The last one shown is gone, and a new one is there.
        let page = Page::of(String::new(), 2, &token).unwrap();
        let (second, token) = page.cut(all(&[(1, "a"), (2, "b"), (3, "d"), (4, "e")]), Clone::clone);
        assert_eq!((second, token.as_str()), (all(&[(2, "b"), (1, "a")]), ""));
    }

    proptest! {
        #[test]
        fn pages_are_the_whole_list(seconds in prop::collection::btree_set((0_i64..9, "[a-c]{1,2}"), 0..20), size in 1..7) {
            let items: Vec<Position> = seconds.into_iter().map(|(at, name)| second(at, &name)).collect();
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let page = Page::of("s".to_owned(), size, &token).unwrap();
                let (found, next) = page.cut(items.clone(), Clone::clone);
                seen.extend(found);
                if next.is_empty() { break }
                token = next;
            }
            let wanted: Vec<Position> = items.into_iter().rev().collect();
            prop_assert_eq!(seen, wanted);
        }
    }
}
