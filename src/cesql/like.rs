//! Patterns of `LIKE` (§3.4.3): `%` is any text, `_` any one character.
//!
//! A pattern is cut at its `%` into pieces. The first piece stands at the beginning of a text, the last one at its end,
//! and each of the others is looked for from where the one before it ended: the leftmost place is as good as any other.
//! So nothing is taken back, and the work is linear in the length of the text: a piece without `_` inside is found as any
//! text is, and one with `_` by keeping, in the bits of a number, how far it has come from each place at once.

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Stands at the beginning.
    first: Piece,
    /// What follows a `%` each; the last one stands at the end.
    rest: Vec<Piece>,
}

/// Most characters between two `%` where there is a `_` among them: the bits of [`Places`].
pub(super) const MAX_PLACES: usize = 128;

/// Text without `%`: each run is some `_` and then characters that stand for themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Piece {
    runs: Vec<Run>,
    /// How to look for what follows the first `_`; not needed if that is one text.
    places: Option<Places>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Run {
    /// Any characters, so many.
    any: usize,
    /// Then these.
    text: String,
}

/// For each character the places in a piece where it may stand, one bit for each, the lowest for the first place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places {
    /// Where every character may stand.
    any: u128,
    /// Where these may stand, too; sorted.
    of: Vec<(char, u128)>,
    last: u128,
}

/// A character of a pattern after escapes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// `%`.
    AnyText,
    /// `_`.
    AnyCharacter,
    /// Itself.
    Character(char),
}

impl Pattern {
    /// The pattern of those items; none if more than [`MAX_PLACES`] stand between two `%` with a `_` among them.
    pub(super) fn new(items: impl IntoIterator<Item = Item>) -> Option<Self> {
        let (mut first, mut rest) = (Piece::default(), Vec::new());
        for item in items {
            let piece = rest.last_mut().unwrap_or(&mut first);
            match item {
                Item::AnyText => rest.push(Piece::default()),
                Item::AnyCharacter => piece.any(),
                Item::Character(character) => piece.push(character),
            }
        }
        // The last one is not looked for: it stands at the end.
        let middle = rest.len().saturating_sub(1);
        for piece in rest.iter_mut().take(middle).filter(|piece| piece.runs.len() > 1) {
            piece.places = Some(Places::new(&piece.runs)?);
        }
        Some(Self { first, rest })
    }

    /// The items that it was made of.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        let rest = self.rest.iter().flat_map(|piece| std::iter::once(Item::AnyText).chain(piece.items()));
        self.first.items().chain(rest)
    }

    /// Whether the whole text is like the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(text) = after(&self.first.runs, text) else { return false };
        let Some((last, middle)) = self.rest.split_last() else { return text.is_empty() };
        let text = middle.iter().try_fold(text, |text, piece| piece.find(text));
        text.is_some_and(|text| last.ends(text))
    }
}

impl Piece {
    fn any(&mut self) {
        match self.runs.last_mut() {
            Some(run) if run.text.is_empty() => run.any += 1,
            _ => self.runs.push(Run { any: 1, text: String::new() }),
        }
    }

    fn push(&mut self, character: char) {
        if self.runs.is_empty() {
            self.runs.push(Run::default());
        }
        if let Some(run) = self.runs.last_mut() {
            run.text.push(character);
        }
    }

    fn items(&self) -> impl Iterator<Item = Item> {
        self.runs.iter().flat_map(|run| {
            std::iter::repeat_n(Item::AnyCharacter, run.any).chain(run.text.chars().map(Item::Character))
        })
    }

    /// What follows the piece where it first occurs.
    fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        // The characters before a piece are any, so `_` at its beginning only moves its earliest place.
        let [Run { any, text: wanted }, ..] = self.runs.as_slice() else { return Some(text) };
        let text = skip(text, *any)?;
        match &self.places {
            Some(places) => places.find(text),
            None => text.split_once(wanted.as_str()).map(|(_, after)| after),
        }
    }

    /// Whether the text ends with the piece.
    fn ends(&self, text: &str) -> bool {
        match self.runs.as_slice() {
            [] => true,
            [Run { any: 0, text: wanted }] => text.ends_with(wanted.as_str()),
            _ => {
                let length = self.items().count();
                let start = length.checked_sub(1).and_then(|last| text.char_indices().rev().nth(last));
                start.is_some_and(|(at, _)| text.get(at..).and_then(|end| after(&self.runs, end)) == Some(""))
            }
        }
    }
}

impl Places {
    /// The places of the runs but the first `_`; none if they are too many.
    fn new(runs: &[Run]) -> Option<Self> {
        let mut places = Self { any: 0, of: Vec::new(), last: 0 };
        let mut place: u128 = 1;
        for (index, Run { any, text }) in runs.iter().enumerate() {
            let any = if index == 0 { 0 } else { *any };
            for character in std::iter::repeat_n(None, any).chain(text.chars().map(Some)) {
                if place == 0 {
                    return None;
                }
                let at = match character {
                    None => &mut places.any,
                    Some(character) => places.of(character),
                };
                *at |= place;
                places.last = place;
                place <<= 1;
            }
        }
        Some(places)
    }

    fn of(&mut self, character: char) -> &mut u128 {
        let found = self.of.binary_search_by_key(&character, |(known, _)| *known);
        let at = found.unwrap_or_else(|at| {
            self.of.insert(at, (character, 0));
            at
        });
        &mut self.of[at].1
    }

    /// What follows the places where they first occur.
    fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut rest = text.chars();
        // The places that the characters up to here are like, counted from wherever they began.
        let mut reached: u128 = 0;
        while let Some(character) = rest.next() {
            let known = self.of.binary_search_by_key(&character, |(known, _)| *known);
            let fits = self.any | known.map_or(0, |at| self.of[at].1);
            reached = (reached << 1 | 1) & fits;
            if reached & self.last != 0 {
                return Some(rest.as_str());
            }
        }
        None
    }
}

/// What follows the runs, if the text begins with them.
fn after<'a>(runs: &[Run], text: &'a str) -> Option<&'a str> {
    runs.iter()
        .try_fold(text, |text, Run { any, text: wanted }| skip(text, *any)?.strip_prefix(wanted.as_str()))
}

/// The text without its first characters, if it has so many.
fn skip(text: &str, characters: usize) -> Option<&str> {
    let mut rest = text.chars();
    match characters.checked_sub(1) {
        None => Some(text),
        Some(last) => rest.nth(last).map(|_| rest.as_str()),
    }
}
