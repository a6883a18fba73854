//! A measure's table, in Markdown.

use std::fmt;

use spinlane_options::Place;

use crate::host::{Application, Host};

/// What one round gives: a figure for each column, where the host has it.
pub(crate) type Figures = Vec<Option<f64>>;

/// A column of figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    /// Digits after the point.
    digits: usize,
    /// Whether there is another column, with how it compares to the rival's.
    compared: bool,
}

impl Column {
    pub(crate) const fn new(title: &'static str, digits: usize) -> Self {
        Self {
            title,
            digits,
            compared: false,
        }
    }

    pub(crate) const fn compared(title: &'static str, digits: usize) -> Self {
        Self {
            compared: true,
            ..Self::new(title, digits)
        }
    }
}

/// With whose figures others are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    /// Native axum's.
    Axum,
    /// Those of the bare component on the same host.
    Bare,
}

impl Rival {
    fn name(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Bare => "bare on the same host",
        }
    }

    fn of(self, host: Host) -> Host {
        let (application, place) = match self {
            Self::Axum => (Application::Peer, Place::Axum),
            Self::Bare => (Application::Bare, host.place),
        };
        Host { application, place }
    }
}

/// What became of a host.
#[derive(Clone, Debug)]
pub(crate) enum Row {
    /// Each round's figures.
    Rounds(Vec<Figures>),
    /// Why there are none.
    Words(String),
}

/// One measure on all hosts.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: &'static [Column],
    pub(crate) rival: Option<Rival>,
    pub(crate) rows: Vec<(Host, Row)>,
}

impl Table {
    /// The median of a host's figures in that column.
    fn median(&self, host: Host, column: usize) -> Option<f64> {
        let (_, row) = self.rows.iter().find(|(other, _)| *other == host)?;
        match row {
            Row::Rounds(rounds) => median(rounds.iter().map(|figures| figures[column])),
            Row::Words(_) => None,
        }
    }

    fn compared(&self) -> impl Iterator<Item = (usize, &Column, Rival)> {
        let columns = self.columns.iter().enumerate();
        let compared = columns.filter(|(_, column)| column.compared);
        compared.filter_map(|(at, column)| Some((at, column, self.rival?)))
    }

    /// The cells after a host's name.
    fn cells(&self, host: Host, row: &Row) -> Vec<String> {
        if let Row::Words(words) = row {
            let rest = self.columns.len() + self.compared().count() - 1;
            let words = std::iter::once(words.clone());
            return words
                .chain(std::iter::repeat_n(String::new(), rest))
                .collect();
        }
        let columns = self.columns.iter().enumerate();
        let figures = columns.map(|(at, column)| match self.median(host, at) {
            Some(figure) => number(figure, column.digits),
            None => "n/a".into(),
        });
        let ratios = self.compared().map(|(at, _, rival)| {
            let other = self
                .median(rival.of(host), at)
                .filter(|_| rival.of(host) != host);
            match self.median(host, at).zip(other) {
                Some((figure, other)) => format!("{:.2}x", figure / other),
                None => String::new(),
            }
        });
        figures.chain(ratios).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        let titles = self.columns.iter().map(|column| column.title.to_owned());
        let ratios = self.compared().map(|(_, column, rival)| {
            let (title, _) = column.title.split_once(',').unwrap_or((column.title, ""));
            format!("{title}, to {}", rival.name())
        });
        let titles: Vec<String> = titles.chain(ratios).collect();
        writeln!(f, "| | {} |", titles.join(" | "))?;
        writeln!(f, "| --- |{}", " --: |".repeat(titles.len()))?;
        for (host, row) in &self.rows {
            writeln!(
                f,
                "| {} | {} |",
                host.name(),
                self.cells(*host, row).join(" | ")
            )?;
        }
        Ok(())
    }
}

/// The middle one; `None` where one is missing.
fn median(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect::<Option<_>>()?;
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// As people read it: `1,234,567`, `0.50`.
fn number(value: f64, digits: usize) -> String {
    if value.is_infinite() {
        return "not in 15 s".into();
    }
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXUM: Host = Host {
        application: Application::Peer,
        place: Place::Axum,
    };
    const EMBEDDED: Host = Host {
        application: Application::Spinlane,
        place: Place::Embedded,
    };
    const SPIN: Host = Host {
        application: Application::Spinlane,
        place: Place::Spin,
    };

    #[test]
    fn numbers_are_grouped() {
        for (value, digits, text) in [
            (1_234_567.4, 0, "1,234,567"),
            (999.0, 0, "999"),
            (1000.26, 1, "1,000.3"),
            (0.5, 2, "0.50"),
            (f64::INFINITY, 0, "not in 15 s"),
        ] {
            assert_eq!(number(value, digits), text);
        }
    }

    const COLUMNS: &[Column] = &[Column::compared("frames/s", 0), Column::new("x, ms", 1)];

    #[test]
    fn a_table_has_medians_ratios_and_reasons() {
        let rounds = |values: &[f64]| {
            let figures = values.iter().map(|value| vec![Some(*value), None]);
            Row::Rounds(figures.collect())
        };
        let table = Table {
            title: "Relay".into(),
            columns: COLUMNS,
            rival: Some(Rival::Axum),
            rows: vec![
                (EMBEDDED, rounds(&[100.0, 3000.0, 2000.0])),
                (SPIN, Row::Words("NOT RUN: no Spin".into())),
                (AXUM, rounds(&[4000.0, 4000.0, 1.0])),
            ],
        };
        let expected = "### Relay\n\n\
            | | frames/s | x, ms | frames/s, to axum |\n\
            | --- | --: | --: | --: |\n\
            | Spinlane, embedded host | 2,000 | n/a | 0.50x |\n\
            | Spinlane, Spin | NOT RUN: no Spin |  |  |\n\
            | native axum and reqwest | 4,000 | n/a |  |\n";
        assert_eq!(table.to_string(), expected);
    }
}
