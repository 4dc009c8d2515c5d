//! The three ways to write a scalar: plain, in quotes, as a block.

use std::borrow::Cow;

use super::cursor::{Cursor, Mark, is_blank};
use crate::{Error, Span};

/// A scalar and where it is written.
pub(super) struct Scalar<'a> {
    pub(super) value: Cow<'a, str>,
    pub(super) span: Span,
}

/// A plain scalar, and whether line breaks end it. `indent` is the column of the block collection around it.
///
/// One colon with a space after it, or a `#` with a space before it, ends the scalar, in brackets the indicators of
/// those too, and in a block a line that is not indented deeper than the collection.
pub(super) fn plain<'a>(cursor: &mut Cursor<'a>, indent: i64, flow: bool) -> Result<(Scalar<'a>, bool), Error> {
    let start = cursor.mark();
    let mut value = Cow::Borrowed("");
    let mut end = cursor.position();
    let mut gap = "";
    let mut ends_line = false;
    while !cursor.is_document_indicator() && cursor.byte() != b'#' {
        let word = cursor.take_until(|cursor| match cursor.byte() {
            b':' => cursor.is_space_at(1),
            b',' | b'?' | b'[' | b']' | b'{' | b'}' => flow,
            _ => cursor.is_space_at(0),
        });
        if !word.is_empty() {
            if value.is_empty() {
                value = Cow::Borrowed(word);
            } else {
                fold_into(value.to_mut(), gap, false);
                value.to_mut().push_str(word);
            }
            end = cursor.position();
            ends_line = false;
        }
        if cursor.is_end() || !cursor.is_space_at(0) {
            break;
        }
        let gap_start = cursor.position();
        loop {
            cursor.take_while(|byte| byte == b' ' || byte == b'\t' && !ends_line);
            if cursor.is_break() {
                cursor.take_break();
                ends_line = true;
            } else if cursor.byte() != b'\t' {
                break;
            } else if cursor.column() <= indent {
                return Err(cursor.fault_since(start, "a tab stands where the indentation is; write spaces"));
            } else {
                cursor.skip();
            }
        }
        gap = cursor.since(gap_start);
        if !flow && cursor.column() <= indent {
            break;
        }
    }
    Ok((Scalar { value, span: Cursor::span(start, end) }, ends_line))
}

/// A scalar in single or double quotes; the cursor stands on the first one.
pub(super) fn quoted<'a>(cursor: &mut Cursor<'a>) -> Result<Scalar<'a>, Error> {
    let start = cursor.mark();
    let quote = cursor.byte();
    cursor.skip();
    let mut value = Cow::Borrowed("");
    loop {
        if cursor.is_document_indicator() {
            return Err(cursor.fault_since(start, "a quote without its end before the document ends"));
        }
        let mut escaped_break = false;
        loop {
            let word =
                cursor.take_until(|cursor| cursor.byte() == quote || cursor.byte() == b'\\' || cursor.is_space_at(0));
            append(&mut value, word);
            match cursor.byte() {
                _ if cursor.is_end() => return Err(cursor.fault_since(start, "a quote without its end")),
                b'\\' if quote == b'\'' => append(&mut value, cursor.take_one()),
                b'\'' if quote == b'\'' && cursor.byte_at(1) == b'\'' => {
                    cursor.skip();
                    append(&mut value, cursor.take_one());
                }
                b'\\' => {
                    cursor.skip();
                    if cursor.is_break() {
                        cursor.take_break();
                        escaped_break = true;
                        break;
                    }
                    value.to_mut().push(escape(cursor)?);
                }
                _ => break,
            }
        }
        if cursor.byte() == quote {
            cursor.skip();
            return Ok(Scalar { value, span: cursor.span_from(start) });
        }
        let gap_start = cursor.position();
        while cursor.is_blank() || cursor.is_break() {
            cursor.take_while(is_blank);
            cursor.take_break();
        }
        fold_into(value.to_mut(), cursor.since(gap_start), escaped_break);
    }
}

fn append<'a>(value: &mut Cow<'a, str>, word: &'a str) {
    if value.is_empty() {
        *value = Cow::Borrowed(word);
    } else if !word.is_empty() {
        value.to_mut().push_str(word);
    }
}

/// The character that an escape sequence stands for; the cursor stands after the backslash.
fn escape(cursor: &mut Cursor<'_>) -> Result<char, Error> {
    let digits = match cursor.byte() {
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        byte => {
            let character = match byte {
                b'0' => '\0',
                b'a' => '\x07',
                b'b' => '\x08',
                b't' | b'\t' => '\t',
                b'n' => '\n',
                b'v' => '\x0b',
                b'f' => '\x0c',
                b'r' => '\r',
                b'e' => '\x1b',
                b' ' | b'"' | b'\'' | b'\\' => char::from(byte),
                b'N' => '\u{85}',
                b'_' => '\u{a0}',
                b'L' => '\u{2028}',
                b'P' => '\u{2029}',
                _ => return Err(cursor.fault(r"an unknown escape sequence; write a backslash as \\")),
            };
            cursor.skip();
            return Ok(character);
        }
    };
    cursor.skip();
    let mut code: u32 = 0;
    for _ in 0..digits {
        let Some(digit) = char::from(cursor.byte()).to_digit(16) else {
            return Err(cursor.fault(format!("an escape sequence that needs {digits} hexadecimal digits")));
        };
        code = code.wrapping_shl(4) | digit;
        cursor.skip();
    }
    char::from_u32(code).ok_or_else(|| cursor.fault("an escape sequence for something that is no character"))
}

/// A literal (`|`) or folded (`>`) block; the cursor stands on that character.
pub(super) fn block<'a>(cursor: &mut Cursor<'a>, parent: i64) -> Result<Scalar<'a>, Error> {
    let start = cursor.mark();
    let literal = cursor.byte() == b'|';
    cursor.skip();
    let (chomping, increment) = block_header(cursor)?;
    let mut indent = increment.map_or(0, |increment| parent.max(0) + i64::from(increment));
    let mut value = String::new();
    let mut line_break = "";
    let mut end = cursor.position();
    let mut empty_lines = empty_lines(cursor, &mut indent, parent, start)?;
    let mut after_indented = false;
    while cursor.column() == indent && !cursor.is_end() {
        // In a folded block a single break between two lines of text is a space.
        let indented = cursor.is_blank();
        if !literal && !after_indented && !indented && line_break == "\n" {
            if empty_lines.is_empty() {
                value.push(' ');
            }
        } else {
            value.push_str(line_break);
        }
        value.push_str(&empty_lines);
        after_indented = indented;
        value.push_str(cursor.take_until(Cursor::is_break));
        line_break = cursor.take_break();
        end = cursor.position();
        empty_lines = self::empty_lines(cursor, &mut indent, parent, start)?;
    }
    if chomping != Some(b'-') {
        value.push_str(line_break);
    }
    if chomping == Some(b'+') {
        value.push_str(&empty_lines);
        // After those lines, nothing but indentation has been taken.
        end = end.max(cursor.line_start());
    }
    Ok(Scalar { value: Cow::Owned(value), span: Cursor::span(start, end) })
}

/// What stands after `|` or `>`: a chomping and an indentation indicator, in any order, and a comment.
fn block_header(cursor: &mut Cursor<'_>) -> Result<(Option<u8>, Option<u8>), Error> {
    let mut chomping = None;
    let mut increment = None;
    for _ in 0..2 {
        match cursor.byte() {
            sign @ (b'+' | b'-') if chomping.is_none() => chomping = Some(sign),
            b'0' if increment.is_none() => return Err(cursor.fault("a block indented by 0; write 1 to 9")),
            digit @ b'1'..=b'9' if increment.is_none() => increment = Some(digit - b'0'),
            _ => break,
        }
        cursor.skip();
    }
    cursor.skip_blanks_and_comment();
    if !cursor.is_break_or_end() {
        return Err(cursor.fault("text behind the start of a block; put it on the next line"));
    }
    cursor.take_break();
    Ok((chomping, increment))
}

/// Takes the indentation and the empty lines before a line of a block. The first line with text determines `indent`,
/// if that is still 0.
fn empty_lines(cursor: &mut Cursor<'_>, indent: &mut i64, parent: i64, start: Mark) -> Result<String, Error> {
    let mut breaks = String::new();
    let mut widest = 0;
    loop {
        let inside = |cursor: &Cursor<'_>| *indent == 0 || cursor.column() < *indent;
        while inside(cursor) && cursor.byte() == b' ' {
            cursor.skip();
        }
        widest = widest.max(cursor.column());
        if inside(cursor) && cursor.byte() == b'\t' {
            return Err(cursor.fault_since(start, "a block with a tab where the indentation is; write spaces"));
        }
        if !cursor.is_break() {
            break;
        }
        breaks.push_str(cursor.take_break());
    }
    if *indent == 0 {
        *indent = widest.max(parent + 1).max(1);
    }
    Ok(breaks)
}

/// Adds what the white space between two words of a scalar stands for: blanks without a line break for themselves, one
/// break for a space, each further one for a line feed. A break that is escaped stands for nothing.
fn fold_into(value: &mut String, gap: &str, escaped_break: bool) {
    let mut cursor = Cursor::new(gap, 0);
    let mut next_break = || {
        cursor.take_while(is_blank);
        cursor.take_break()
    };
    let first = if escaped_break { None } else { Some(next_break()) };
    match first {
        Some("") => return value.push_str(gap),
        Some("\n") | None => {}
        Some(separator) => value.push_str(separator),
    }
    let length = value.len();
    loop {
        match next_break() {
            "" => break,
            later => value.push_str(later),
        }
    }
    if first == Some("\n") && value.len() == length {
        value.push(' ');
    }
}
