//! Directives, anchors, aliases and tags: what stands around values.

use super::cursor::{Cursor, is_blank};
use super::scanner::Token;
use crate::Error;

/// `%YAML` or `%TAG`, to the end of the line; the cursor stands on the percent sign.
pub(super) fn directive<'a>(cursor: &mut Cursor<'a>) -> Result<Token<'a>, Error> {
    cursor.skip();
    let name = cursor.take_while(is_word);
    if !cursor.is_space_at(0) {
        return Err(cursor.fault("a directive that is neither %YAML nor %TAG; put a value with % into quotes"));
    }
    cursor.take_while(is_blank);
    let token = match name {
        "YAML" => Token::VersionDirective { supported: version(cursor)? == (1, 1) },
        "TAG" => tag_directive(cursor)?,
        _ => return Err(cursor.fault("a directive that is neither %YAML nor %TAG; put a value with % into quotes")),
    };
    cursor.skip_blanks_and_comment();
    if !cursor.is_break_or_end() {
        return Err(cursor.fault("text behind a directive"));
    }
    cursor.take_break();
    Ok(token)
}

fn version(cursor: &mut Cursor<'_>) -> Result<(u8, u8), Error> {
    let mut number = |end: &str| {
        let digits = cursor.take_while(|byte| byte.is_ascii_digit());
        let ended = end.is_empty() || cursor.take_while(|byte| byte == b'.') == end;
        digits
            .parse()
            .ok()
            .filter(|_| ended && digits.len() <= 2)
            .ok_or_else(|| cursor.fault("a version that is not two numbers with a point between them"))
    };
    Ok((number(".")?, number("")?))
}

fn tag_directive<'a>(cursor: &mut Cursor<'a>) -> Result<Token<'a>, Error> {
    let handle = handle(cursor)?;
    if !(handle == "!" || handle.len() > 1 && handle.ends_with('!')) || !cursor.is_blank() {
        return Err(cursor.fault("a tag handle that does not start and end with an exclamation mark"));
    }
    cursor.take_while(is_blank);
    let prefix = uri(cursor, "")?;
    if prefix.is_empty() || !cursor.is_space_at(0) {
        return Err(cursor.fault("a %TAG directive without a prefix"));
    }
    Ok(Token::TagDirective { handle, prefix })
}

/// An alias, an anchor or a tag; the cursor stands on its first character.
pub(super) fn property<'a>(cursor: &mut Cursor<'a>) -> Result<Token<'a>, Error> {
    match cursor.byte() {
        b'*' => name(cursor).map(Token::Alias),
        b'&' => name(cursor).map(Token::Anchor),
        _ => tag(cursor),
    }
}

fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Error> {
    cursor.skip();
    let name = cursor.take_while(is_word);
    let ended = cursor.is_space_at(0) || matches!(cursor.byte(), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`');
    if name.is_empty() || !ended {
        return Err(cursor.fault(
            "an anchor or alias whose name is not letters, digits, - and _; put a value with & or * into quotes",
        ));
    }
    Ok(name)
}

fn tag<'a>(cursor: &mut Cursor<'a>) -> Result<Token<'a>, Error> {
    let token = if cursor.byte_at(1) == b'<' {
        cursor.skip();
        cursor.skip();
        let suffix = uri(cursor, "")?;
        if suffix.is_empty() || cursor.byte() != b'>' {
            return Err(cursor.fault("a tag without its closing >"));
        }
        cursor.skip();
        Token::Tag { handle: "", suffix }
    } else {
        let handle = handle(cursor)?;
        if handle.len() > 1 && handle.ends_with('!') {
            let suffix = uri(cursor, "")?;
            if suffix.is_empty() {
                return Err(cursor.fault("a tag without a name; put a value with ! into quotes"));
            }
            Token::Tag { handle, suffix }
        } else {
            let suffix = uri(cursor, handle.trim_start_matches('!'))?;
            // A lone exclamation mark is a tag of its own.
            if suffix.is_empty() {
                Token::Tag { handle: "", suffix: handle.to_owned() }
            } else {
                Token::Tag { handle: "!", suffix }
            }
        }
    };
    if cursor.is_space_at(0) { Ok(token) } else { Err(cursor.fault("a tag without a space behind it")) }
}

/// `!`, `!!`, `!name!`, or the start of a tag such as `!name`.
fn handle<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Error> {
    let start = cursor.position();
    if cursor.byte() != b'!' {
        return Err(cursor.fault("a tag handle that does not start with an exclamation mark"));
    }
    cursor.skip();
    cursor.take_while(is_word);
    if cursor.byte() == b'!' {
        cursor.skip();
    }
    Ok(cursor.since(start))
}

/// The characters of a URI after `head`, with their escapes resolved.
fn uri(cursor: &mut Cursor<'_>, head: &str) -> Result<String, Error> {
    let mut uri = head.as_bytes().to_vec();
    loop {
        let plain = cursor.take_while(|byte| is_word(byte) || b";/?:@&=+$,.!~*'()[]".contains(&byte));
        uri.extend_from_slice(plain.as_bytes());
        if cursor.byte() != b'%' {
            break;
        }
        cursor.skip();
        let mut octet = 0;
        for _ in 0..2 {
            let Some(digit) = char::from(cursor.byte()).to_digit(16) else {
                return Err(cursor.fault("a tag with % but without two hexadecimal digits behind it"));
            };
            octet = octet << 4 | u8::try_from(digit).unwrap_or(0);
            cursor.skip();
        }
        uri.push(octet);
    }
    String::from_utf8(uri).map_err(|_| cursor.fault("a tag that is not UTF-8"))
}

/// Whether this is a letter, a digit, `-` or `_`.
fn is_word(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_')
}
