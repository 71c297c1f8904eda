//! Tables that fit the screen. When there is too little room, columns that tell nothing new go first, then blanks
//! between columns, then the ends of cells that may be cut. Where even that is not enough, lines are longer than the
//! screen: rather that than a fact that cannot be read.

use anstyle::Style;

use super::text::{HEAD, PLAIN, columns, escaped, styled};

/// Blanks between columns where there is room, and where there is none.
const GAPS: [usize; 2] = [2, 1];
/// A cell that has to be cut keeps so many columns.
const CUT_MIN: usize = 6;

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    title: &'static str,
    right: bool,
    spare: bool,
    cut: bool,
}

impl Column {
    /// Text, from the left.
    #[must_use]
    pub fn left(title: &'static str) -> Column {
        Column { title, right: false, spare: false, cut: false }
    }

    /// Numbers, from the right.
    #[must_use]
    pub fn right(title: &'static str) -> Column {
        Column { title, right: true, spare: false, cut: false }
    }

    /// The ends of long cells may be left out: their beginning tells what they are.
    #[must_use]
    pub fn may_be_cut(self) -> Column {
        Column { cut: true, ..self }
    }

    /// May be left out: its cells say nothing that others do not say.
    #[must_use]
    pub fn spare_if(self, spare: bool) -> Column {
        Column { spare, ..self }
    }
}

/// One field.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Text in a style.
    pub fn new(style: Style, text: impl AsRef<str>) -> Cell {
        Cell { text: escaped(text.as_ref()), style }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(PLAIN, text.to_string())
    }
}

/// Columns and rows.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// With these columns and no row.
    #[must_use]
    pub fn new(columns: Vec<Column>) -> Table {
        Table { columns, rows: Vec::new() }
    }

    /// Appends a row: a cell for each column.
    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len(), "one cell for each column");
        self.rows.push(row);
    }

    /// The table, in lines of at most `width` columns where that can be.
    #[must_use]
    pub fn render(&self, width: usize) -> String {
        let layout = self.layout(width);
        let titles: Vec<Cell> = self.columns.iter().map(|column| Cell::new(HEAD, column.title)).collect();
        let rows = std::iter::once(&titles).chain(&self.rows);
        rows.map(|row| self.line(row, &layout) + "\n").collect()
    }

    fn line(&self, row: &[Cell], layout: &Layout) -> String {
        let cells = layout.widths.iter().map(|(n, width)| {
            let text = cut(&row[*n].text, *width);
            let pad = " ".repeat(width - columns(&text));
            let text = styled(row[*n].style, &text);
            if self.columns[*n].right { format!("{pad}{text}") } else { format!("{text}{pad}") }
        });
        let line = cells.collect::<Vec<String>>().join(&" ".repeat(layout.gap));
        line.trim_end_matches(' ').to_owned()
    }

    fn layout(&self, width: usize) -> Layout {
        let mut layout =
            Layout { gap: GAPS[0], widths: (0..self.columns.len()).map(|n| (n, self.widest(n))).collect() };
        while layout.total() > width {
            let Some(spare) = layout.widths.iter().rposition(|(n, _)| self.columns[*n].spare) else { break };
            layout.widths.remove(spare);
        }
        if layout.total() > width {
            layout.gap = GAPS[1];
        }
        while layout.total() > width && layout.cut_widest(&self.columns) {}
        layout
    }

    fn widest(&self, n: usize) -> usize {
        let cells = self.rows.iter().map(|row| columns(&row[n].text));
        cells.chain([columns(self.columns[n].title)]).max().unwrap_or(0)
    }
}

/// Which columns are shown, how wide, how far apart.
struct Layout {
    gap: usize,
    widths: Vec<(usize, usize)>,
}

impl Layout {
    fn total(&self) -> usize {
        let gaps = self.widths.len().saturating_sub(1) * self.gap;
        self.widths.iter().map(|(_, width)| width).sum::<usize>() + gaps
    }

    /// Takes one from the widest column that may be cut. `false` if that would leave too little of it.
    fn cut_widest(&mut self, columns: &[Column]) -> bool {
        let cut = self.widths.iter_mut().filter(|(n, width)| columns[*n].cut && *width > CUT_MIN);
        let widest = cut.max_by_key(|(_, width)| *width);
        widest.map(|(_, width)| *width -= 1).is_some()
    }
}

fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = vec![Column::left("NODE").may_be_cut(), Column::right("ID"), Column::left("SAME").spare_if(true)];
        let mut table = Table::new(columns);
        table.push(vec!["alphabetical".into(), 1.into(), "yes".into()]);
        table.push(vec!["b".into(), 20.into(), "yes".into()]);
        table
    }

    fn shown(width: usize) -> String {
        anstream::adapter::strip_str(&table().render(width)).to_string()
    }

    #[test]
    fn cells_line_up_and_lines_have_no_blank_end() {
        assert_eq!(shown(80), "NODE          ID  SAME\nalphabetical   1  yes\nb             20  yes\n");
    }

    #[test]
    fn a_spare_column_goes_first() {
        assert_eq!(shown(16), "NODE          ID\nalphabetical   1\nb             20\n");
    }

    #[test]
    fn then_blanks_then_the_ends_of_long_cells() {
        assert_eq!(shown(15), "NODE         ID\nalphabetical  1\nb            20\n");
        assert_eq!(shown(11), "NODE     ID\nalphabe…  1\nb        20\n");
        assert_eq!(shown(1), "NODE   ID\nalpha…  1\nb      20\n");
    }

    #[test]
    fn cells_are_escaped() {
        let mut table = Table::new(vec![Column::left("X")]);
        table.push(vec!["\x1b[2J".into()]);
        assert!(table.render(80).contains(r"\u{1b}[2J"));
    }
}
