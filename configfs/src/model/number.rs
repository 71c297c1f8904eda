//! How the kernel reads numbers and words from what was written to an attribute.

use crate::error::Errno;

/// What a store sees as text: everything before the first NUL.
pub(super) fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// o2cb's reading of a number: digits, then the end or a newline, after which anything may follow. No digits at all
/// are 0. No sign, no blank.
///
/// Source: linux fs/ocfs2/cluster/nodemanager.c (simple_strtoul); recorded in tests/kernel/configfs-generic.jsonl.
pub(super) fn loose(bytes: &[u8]) -> Result<u64, Errno> {
    let (value, rest) = any_base(text(bytes));
    line_end(value, rest)
}

/// The same without 0x and 0 prefixes, as `dead_threshold` is read.
pub(super) fn loose_decimal(bytes: &[u8]) -> Result<u64, Errno> {
    let (value, rest) = digits(text(bytes), 10);
    line_end(value, rest)
}

fn line_end(value: u64, rest: &[u8]) -> Result<u64, Errno> {
    if matches!(rest.first(), None | Some(b'\n')) { Ok(value) } else { Err(Errno::EINVAL) }
}

/// The DLM's reading of an unsigned number: one, perhaps after a plus, and at most one newline; too large is ERANGE.
///
/// Source: linux lib/kstrtox.c; recorded in tests/kernel/dlm.jsonl and dlm-more.jsonl.
pub(super) fn strict_unsigned(bytes: &[u8]) -> Result<u32, Errno> {
    let text = one_line(bytes);
    let value = whole(text.strip_prefix(b"+").unwrap_or(text))?;
    u32::try_from(value).map_err(|_| Errno::ERANGE)
}

/// The same for a number that may be negative.
pub(super) fn strict_signed(bytes: &[u8]) -> Result<i32, Errno> {
    let text = one_line(bytes);
    let Some(digits) = text.strip_prefix(b"-") else {
        return i32::try_from(strict_unsigned(bytes)?).map_err(|_| Errno::ERANGE);
    };
    let value = i64::try_from(whole(digits)?).map_err(|_| Errno::ERANGE)?;
    i32::try_from(-value).map_err(|_| Errno::ERANGE)
}

fn one_line(bytes: &[u8]) -> &[u8] {
    let text = text(bytes);
    text.strip_suffix(b"\n").unwrap_or(text)
}

fn whole(text: &[u8]) -> Result<u64, Errno> {
    match any_base(text) {
        (value, []) if !text.is_empty() => Ok(value),
        _ => Err(Errno::EINVAL),
    }
}

/// A dotted quad: four numbers of at most three digits, junk after the last is ignored.
pub(super) fn dotted_quad(bytes: &[u8]) -> Result<std::net::Ipv4Addr, Errno> {
    let mut rest = text(bytes);
    let mut octets = [0_u8; 4];
    let mut too_big = false;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(b".").ok_or(Errno::EINVAL)?;
        }
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        rest = &rest[blanks..];
        let len = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        match u8::try_from(digits(&rest[..len], 10).0) {
            Ok(value) => *octet = value,
            Err(_) => too_big = true,
        }
        rest = &rest[len..];
    }
    if too_big { Err(Errno::ERANGE) } else { Ok(octets.into()) }
}

/// Equal in the first `count` bytes, any letter case, where a NUL ends both: C's strncasecmp.
pub(super) fn same_word(bytes: &[u8], word: &str, count: usize) -> bool {
    let at = |bytes: &[u8], index: usize| bytes.get(index).map_or(0, u8::to_ascii_lowercase);
    for index in 0..count {
        let (left, right) = (at(bytes, index), at(word.as_bytes(), index));
        if left != right {
            return false;
        }
        if left == 0 {
            return true;
        }
    }
    true
}

/// 0x… hexadecimal, 0… octal, else decimal.
fn any_base(text: &[u8]) -> (u64, &[u8]) {
    match text {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => digits(&text[2..], 16),
        [b'0', ..] => digits(text, 8),
        _ => digits(text, 10),
    }
}

/// Too many digits wrap around; every range check here is far below that.
fn digits(text: &[u8], base: u32) -> (u64, &[u8]) {
    let mut value = 0_u64;
    for (index, byte) in text.iter().enumerate() {
        match char::from(*byte).to_digit(base) {
            Some(digit) => value = value.wrapping_mul(base.into()).wrapping_add(digit.into()),
            None => return (value, &text[index..]),
        }
    }
    (value, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_after_the_first_newline_or_nul_is_ignored() {
        assert_eq!(loose(b"1\n2"), Ok(1));
        assert_eq!(loose(b"29000\0junk"), Ok(29000));
        assert_eq!(loose(b"1\n\n"), Ok(1));
    }

    #[test]
    fn signs_and_blanks_are_einval() {
        for bad in ["-1\n", "+1\n", " 1\n", "1 \n", "x", "08"] {
            assert_eq!(loose(bad.as_bytes()), Err(Errno::EINVAL), "{bad:?}");
        }
    }

    #[test]
    fn an_empty_line_is_zero() {
        assert_eq!(loose(b"\n"), Ok(0));
        assert_eq!(strict_unsigned(b"\n"), Err(Errno::EINVAL));
    }

    #[test]
    fn prefixes_choose_the_base_unless_it_is_decimal_only() {
        assert_eq!(loose(b"0x7530\n"), Ok(30000));
        assert_eq!(loose(b"010\n"), Ok(8));
        assert_eq!(loose_decimal(b"010\n"), Ok(10));
        assert_eq!(loose_decimal(b"0x10\n"), Err(Errno::EINVAL));
    }

    #[test]
    fn an_address_may_be_followed_by_junk_but_not_be_short() {
        assert_eq!(dotted_quad(b"10.78.2.2junk\n"), Ok([10, 78, 2, 2].into()));
        assert_eq!(dotted_quad(b"10.78.2.256\n"), Err(Errno::ERANGE));
        assert_eq!(dotted_quad(b"10.78.2\n"), Err(Errno::EINVAL));
        assert_eq!(dotted_quad(b"1000.1.1.1\n"), Err(Errno::EINVAL));
    }

    #[test]
    fn words_compare_in_any_case() {
        assert!(same_word(b"GLOBAL\n", "global", 6));
        assert!(!same_word(b"local\nxxx", "local", 9));
    }
}
