//! Tables for people: columns without borders, three spaces apart, as kubectl prints them.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};

/// Blanks between two columns.
const GAP: u16 = 3;

/// Rows below a heading. Every row has a cell for every column of the heading.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    heading: Vec<&'static str>,
    cells: Vec<Vec<String>>,
    floor: Vec<u16>,
}

impl Rows {
    /// An empty table with that heading.
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), cells: Vec::new(), floor: Vec::new() }
    }

    /// Adds a row. A cell cannot break the table: line ends become spaces, control characters vanish.
    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        let row: Vec<String> = cells.into_iter().map(|cell| one_line(&cell)).collect();
        debug_assert_eq!(row.len(), self.heading.len(), "a cell for every column");
        self.cells.push(row);
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Makes every column at least as wide as in a table that was printed before, so that the two line up.
    pub(crate) fn widen(&mut self, floor: &[u16]) {
        self.floor = floor.to_vec();
    }

    /// The width of every column, for [`Rows::widen`].
    pub(crate) fn widths(&self) -> Vec<u16> {
        self.table(true)
            .column_max_content_widths()
            .iter()
            .zip(self.floor.iter().chain(std::iter::repeat(&0)))
            .map(|(width, floor)| (*width).max(*floor))
            .collect()
    }

    /// The table as text, each line ended by a line feed. Without a heading for `--no-headers`.
    pub(crate) fn render(&self, headers: bool) -> String {
        let mut text = String::new();
        for line in self.table(headers).lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn table(&self, headers: bool) -> Table {
        let mut table = Table::new();
        // Widths follow the content, not the terminal: a line can be cut by the terminal, not by us.
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if headers {
            table.set_header(self.heading.iter().copied());
        }
        for row in &self.cells {
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        for (index, floor) in self.floor.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(floor + GAP)));
            }
        }
        table
    }
}

/// The text without line ends and control characters: what an object or an event says must not drive the terminal.
pub(crate) fn one_line(text: &str) -> String {
    let spaced = text.trim_end_matches(['\n', '\r']).replace(['\n', '\r', '\t'], " ");
    spaced.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Rows {
        let mut rows = Rows::new(&["NAME", "READY", "AGE"]);
        rows.push(["resize".to_owned(), "True".to_owned(), "12s".to_owned()]);
        rows.push(["a".to_owned(), String::new(), "3m".to_owned()]);
        rows
    }

    #[test]
    fn columns_align_without_borders_or_trailing_spaces() {
        assert_eq!(table().render(true), "NAME     READY   AGE\nresize   True    12s\na                3m\n");
    }

    #[test]
    fn the_heading_can_be_left_out() {
        assert_eq!(table().render(false), "resize   True   12s\na               3m\n");
    }

    #[test]
    fn a_later_table_lines_up_with_an_earlier_one() {
        let mut later = Rows::new(&["NAME", "READY", "AGE"]);
        later.push(["b".to_owned(), "False".to_owned(), "0s".to_owned()]);
        later.widen(&table().widths());
        assert_eq!(later.render(false), "b        False   0s\n");
        assert_eq!(later.widths(), [6, 5, 3]);
    }

    #[test]
    fn a_cell_cannot_drive_the_terminal() {
        assert_eq!(one_line("a\nb\u{1b}[31mred\u{7}\n"), "a b[31mred");
    }
}
