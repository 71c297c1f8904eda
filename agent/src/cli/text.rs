//! Lines of text: escaped, wrapped, coloured.
//!
//! Renderers colour always; [`super::output`] takes the colour out again where nobody wants it. What comes from the
//! daemon may hold anything that other nodes sent: a control character is shown as its escape and never reaches the
//! terminal.

use anstyle::{AnsiColor, Style};

/// Nothing special.
pub const PLAIN: Style = Style::new();
/// Headings.
pub const HEAD: Style = Style::new().bold();
/// As it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Not yet, or not quite.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Beside the point.
pub const FAINT: Style = Style::new().dimmed();

/// Least width that is laid out for; a narrower terminal wraps by itself.
pub const WIDTH_MIN: usize = 60;
/// Width where nothing better is known.
pub const WIDTH: usize = 80;
/// Longer lines are hard to read.
pub const WIDTH_MAX: usize = 140;

/// `text` without anything that a terminal acts on.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_direction(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// Marks that turn the direction of text around and so could make a line read as another.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns a text takes. Wide (CJK) characters count as one: they do not occur in names that o2cb takes.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.chars().count()
}

/// `text` in `style`; escaped.
#[must_use]
pub fn styled(style: Style, text: &str) -> String {
    if style.is_plain() { escaped(text) } else { format!("{style}{}{style:#}", escaped(text)) }
}

/// Words in lines of at most `width` columns. A word that is longer has a line of its own, cut into pieces.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in escaped(text).split(' ').filter(|word| !word.is_empty()) {
        for piece in pieces(word, width) {
            let line = lines.last_mut().expect("begins with one line");
            if line.is_empty() {
                *line = piece;
            } else if columns(line) + 1 + columns(&piece) <= width {
                line.push(' ');
                line.push_str(&piece);
            } else {
                lines.push(piece);
            }
        }
    }
    lines
}

fn pieces(word: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars.chunks(width.max(1)).map(|chunk| chunk.iter().collect()).collect()
}

/// `label  text`, where the text goes on below itself. Nothing for an empty text.
pub fn labelled(out: &mut String, indent: usize, label: &str, style: Style, text: &str, width: usize) {
    if text.is_empty() {
        return;
    }
    let hang = indent + columns(label);
    for (n, line) in wrapped(text, width.saturating_sub(hang)).iter().enumerate() {
        match n {
            0 => out.push_str(&format!("{:indent$}{}{line}\n", "", styled(style, label))),
            _ => out.push_str(&format!("{:hang$}{line}\n", "")),
        }
    }
}

/// Items on a line behind a label, three blanks apart; what does not fit goes on below.
pub fn items(out: &mut String, label: &str, items: &[(Style, String)], width: usize) {
    const GAP: usize = 3;
    let hang = columns(label);
    out.push_str(&styled(HEAD, label));
    let mut at = hang;
    for (n, (style, item)) in items.iter().enumerate() {
        let item = escaped(item);
        let gap = if n == 0 { 0 } else { GAP };
        if n > 0 && at + gap + columns(&item) > width {
            out.push_str(&format!("\n{:hang$}", ""));
            at = hang;
        } else {
            out.push_str(&" ".repeat(gap));
            at += gap;
        }
        at += columns(&item);
        out.push_str(&styled(*style, &item));
    }
    out.push('\n');
}

/// `1 mount`, `2 mounts`.
#[must_use]
pub fn counted(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(escaped("a\x1b[2Jb\nc\u{7f}\u{9b}"), r"a\u{1b}[2Jb\nc\u{7f}\u{9b}");
        assert_eq!(escaped("a\u{202e}b"), r"a\u{202e}b");
        assert_eq!(escaped("größe ✗"), "größe ✗");
    }

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("", 7), [""]);
    }

    #[test]
    fn a_word_longer_than_the_line_is_cut() {
        assert_eq!(wrapped("ab 123456789", 4), ["ab", "1234", "5678", "9"]);
    }

    #[test]
    fn labelled_text_goes_on_below_itself() {
        let mut out = String::new();
        labelled(&mut out, 2, "fix  ", PLAIN, "one two three", 14);
        assert_eq!(out, "  fix  one two\n       three\n");
    }

    #[test]
    fn items_that_do_not_fit_go_on_below() {
        let mut out = String::new();
        let list: Vec<(Style, String)> = ["aaaa", "bbbb", "cccc"].map(|item| (PLAIN, item.to_owned())).into();
        items(&mut out, "x  ", &list, 14);
        assert_eq!(anstream::adapter::strip_str(&out).to_string(), "x  aaaa   bbbb\n   cccc\n");
    }
}
