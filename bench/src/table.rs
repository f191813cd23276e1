//! Readable tables on standard output.

/// Rows of text under a header, printed with aligned columns.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(header: &[&str]) -> Self {
        Self {
            rows: vec![header.iter().map(|it| (*it).to_owned()).collect()],
        }
    }

    /// Adds a row; the first column is text, the others are figures.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints everything.
    pub fn print(&self, title: &str) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        println!("\n{title}\n");
        for (at, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    line.push_str(&format!("{cell:<width$}"));
                } else {
                    line.push_str(&format!("  {cell:>width$}"));
                }
            }
            println!("  {}", line.trim_end());
            if at == 0 {
                let rule: usize = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
                println!("  {}", "-".repeat(rule));
            }
        }
    }
}

/// A length of time with a fitting unit, from nanoseconds.
pub fn nanoseconds(value: f64) -> String {
    if value < 1e3 {
        format!("{value:.0} ns")
    } else if value < 1e6 {
        format!("{:.1} us", value / 1e3)
    } else if value < 1e9 {
        format!("{:.1} ms", value / 1e6)
    } else {
        format!("{:.2} s", value / 1e9)
    }
}

/// A size with a fitting unit, from bytes.
pub fn bytes(value: f64) -> String {
    if value < 1024.0 {
        format!("{value:.0} B")
    } else if value < 1024.0 * 1024.0 {
        format!("{:.1} KiB", value / 1024.0)
    } else {
        format!("{:.1} MiB", value / 1024.0 / 1024.0)
    }
}

/// How many times, with two significant places or more.
pub fn ratio(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}x")
    } else {
        format!("{value:.0}x")
    }
}
