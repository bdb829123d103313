//! The types of plain words: the implicit resolvers and constructors of YAML 1.1 as PyYAML has them.
//!
//! Source: <https://yaml.org/type/> and PyYAML's `resolver.py` and `constructor.py`, which deviate from it in
//! exponents (`1e3` is text, `1.0e+3` a number).

use crate::kas::yaml::YamlValue;

/// A plain word's value; `Err` where PyYAML has no constructor for it or the constructor fails.
pub(super) fn plain(word: &str) -> Result<YamlValue, &'static str> {
    match tag_of(word) {
        ScalarTag::Null => Ok(YamlValue::Null),
        ScalarTag::Bool => Ok(YamlValue::Bool(is_true(word))),
        ScalarTag::Int => int(word),
        ScalarTag::Float => float(word),
        ScalarTag::Timestamp => timestamp(word),
        ScalarTag::Text => Ok(YamlValue::Text(word.to_owned())),
        ScalarTag::Merge => Err("`<<` merges a mapping and cannot be a value"),
        ScalarTag::Value => Err("kas has no value for a lone `=`"),
    }
}

/// A word under a tag of the core schema; `Err` for tags that the safe loader does not construct.
pub(super) fn tagged(tag: &str, word: &str) -> Result<YamlValue, &'static str> {
    let failed = "the text does not fit its tag";
    match tag.strip_prefix("tag:yaml.org,2002:") {
        Some("str") => Ok(YamlValue::Text(word.to_owned())),
        Some("null") => Ok(YamlValue::Null),
        Some("bool") => match word.to_lowercase().as_str() {
            "yes" | "true" | "on" => Ok(YamlValue::Bool(true)),
            "no" | "false" | "off" => Ok(YamlValue::Bool(false)),
            _ => Err(failed),
        },
        Some("int") => int(word).map_err(|_| failed),
        Some("float") => float(word).map_err(|_| failed),
        Some("timestamp") if tag_of(word) == ScalarTag::Timestamp => timestamp(word),
        Some("binary") if word.is_ascii() => Ok(YamlValue::Opaque(word.to_owned())),
        _ => Err("kas has no value for this tag"),
    }
}

/// The tag that PyYAML resolves a plain word to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarTag {
    Null,
    Bool,
    Int,
    Float,
    Timestamp,
    Merge,
    Value,
    Text,
}

pub(super) fn tag_of(word: &str) -> ScalarTag {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => ScalarTag::Null,
        "<<" => ScalarTag::Merge,
        "=" => ScalarTag::Value,
        "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "true" | "True" | "TRUE" | "false"
        | "False" | "FALSE" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => ScalarTag::Bool,
        _ if !word.is_ascii() => ScalarTag::Text,
        _ if is_float(word) => ScalarTag::Float,
        _ if is_int(word) => ScalarTag::Int,
        _ if is_timestamp(word) => ScalarTag::Timestamp,
        _ => ScalarTag::Text,
    }
}

fn is_true(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "yes" | "true" | "on")
}

fn unsigned(word: &str) -> &str {
    word.strip_prefix(['-', '+']).unwrap_or(word)
}

fn all(word: &str, fits: impl Fn(char) -> bool) -> bool {
    word.chars().all(fits)
}

fn digit_or_underscore(c: char) -> bool {
    c.is_ascii_digit() || c == '_'
}

fn starts_with_digit(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// One or more `:` and a number below 60, after a first number.
fn sexagesimal(word: &str) -> Option<&str> {
    let (first, rest) = word.split_once(':')?;
    let parts_fit = rest.split(':').all(|part| {
        let (tens, ones) = match part.len() {
            1 => ("0", part),
            2 => part.split_at(1),
            _ => return false,
        };
        matches!(tens, "0" | "1" | "2" | "3" | "4" | "5") && starts_with_digit(ones)
    });
    parts_fit.then_some(first)
}

fn is_int(word: &str) -> bool {
    let body = unsigned(word);
    if let Some(bits) = body.strip_prefix("0b") {
        return !bits.is_empty() && all(bits, |c| matches!(c, '0' | '1' | '_'));
    }
    if let Some(digits) = body.strip_prefix("0x") {
        return !digits.is_empty() && all(digits, |c| c.is_ascii_hexdigit() || c == '_');
    }
    if body == "0" {
        return true;
    }
    if let Some(digits) = body.strip_prefix('0') {
        return !digits.is_empty() && all(digits, |c| matches!(c, '0'..='7' | '_'));
    }
    let whole = |part: &str| starts_with_digit(part) && all(part, digit_or_underscore);
    whole(body) || sexagesimal(body).is_some_and(whole)
}

fn is_float(word: &str) -> bool {
    if matches!(word, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let body = unsigned(word);
    if matches!(body, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let Some((whole, rest)) = body.split_once('.') else {
        return false;
    };
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = unsigned(exponent);
        digits.len() < exponent.len() && !digits.is_empty() && all(digits, |c| c.is_ascii_digit())
    });
    if !all(fraction, digit_or_underscore) || !exponent_fits {
        return false;
    }
    if whole.is_empty() {
        // `.5` takes no sign in PyYAML.
        return body.len() == word.len() && starts_with_digit(fraction);
    }
    let first = match sexagesimal(whole) {
        Some(first) if exponent.is_none() => first,
        Some(_) => return false,
        None => whole,
    };
    starts_with_digit(first) && all(first, digit_or_underscore)
}

/// `2026-12-01`, or with a time; the digits are not checked against the calendar here.
fn is_timestamp(word: &str) -> bool {
    date_parts(word).is_some()
}

/// Year, month, day and the rest of a timestamp.
fn date_parts(word: &str) -> Option<(&str, &str, &str, &str)> {
    let (year, rest) = word.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (day, time) = rest.split_at(end);
    let digits = |part: &str, least: usize, most: usize| {
        (least..=most).contains(&part.len()) && all(part, |c| c.is_ascii_digit())
    };
    let least = if time.is_empty() { 2 } else { 1 };
    let fits = digits(year, 4, 4) && digits(month, least, 2) && digits(day, least, 2);
    (fits && (time.is_empty() || is_time(time))).then_some((year, month, day, time))
}

fn is_time(time: &str) -> bool {
    let clock = match time.strip_prefix(['T', 't']) {
        Some(clock) => clock,
        None => {
            let clock = time.trim_start_matches([' ', '\t']);
            if clock.len() == time.len() {
                return false;
            }
            clock
        }
    };
    let mut parts = clock.splitn(3, ':');
    let (Some(hour), Some(minute), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let two = |part: &str| part.len() == 2 && all(part, |c| c.is_ascii_digit());
    let one_or_two = |part: &str| matches!(part.len(), 1 | 2) && all(part, |c| c.is_ascii_digit());
    let Some((second, rest)) = rest.split_at_checked(2) else {
        return false;
    };
    let rest = rest.strip_prefix('.').map_or(rest, |fraction| {
        fraction.trim_start_matches(|c: char| c.is_ascii_digit())
    });
    let zone = rest.trim_start_matches([' ', '\t']);
    let zone_fits = match zone.strip_prefix(['-', '+']) {
        None => matches!(zone, "" | "Z"),
        Some(zone) => match zone.split_once(':') {
            None => one_or_two(zone),
            Some((hours, minutes)) => one_or_two(hours) && two(minutes),
        },
    };
    // Blanks need a zone behind them.
    let blank = zone.is_empty() && !rest.is_empty();
    one_or_two(hour) && two(minute) && two(second) && zone_fits && !blank
}

fn timestamp(word: &str) -> Result<YamlValue, &'static str> {
    let number = |part: &str| part.parse::<u32>().unwrap_or(0);
    let (year, month, day, _) = date_parts(word).ok_or("not a date")?;
    let (year, month, day) = (number(year), number(month), number(day));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => 0,
    };
    if year == 0 || day == 0 || day > days {
        return Err("no such day in the calendar");
    }
    Ok(YamlValue::Opaque(word.to_owned()))
}

fn int(word: &str) -> Result<YamlValue, &'static str> {
    let failed = "not a whole number";
    let plain = word.replace('_', "");
    let body = unsigned(&plain);
    let sign = if plain.starts_with('-') { -1.0 } else { 1.0 };
    let number = |digits: &str, base: u32| -> Result<f64, &'static str> {
        if digits.is_empty() {
            return Err(failed);
        }
        digits.chars().try_fold(0.0, |sum: f64, digit| {
            let digit = digit.to_digit(base).ok_or(failed)?;
            Ok(sum.mul_add(f64::from(base), f64::from(digit)))
        })
    };
    let exact = |digits: &str, base: u32| i64::from_str_radix(digits, base).ok();
    let (digits, base) = if body == "0" {
        ("0", 10)
    } else if let Some(bits) = body.strip_prefix("0b") {
        (bits, 2)
    } else if let Some(digits) = body.strip_prefix("0x") {
        (digits, 16)
    } else if body.starts_with('0') {
        (body, 8)
    } else if body.contains(':') {
        let parts = body
            .split(':')
            .map(|part| part.parse::<i64>().map_err(|_| failed))
            .collect::<Result<Vec<_>, _>>()?;
        let sum = parts.iter().try_fold(0_i64, |sum, &part| {
            sum.checked_mul(60).and_then(|sum| sum.checked_add(part))
        });
        let sum = sum.ok_or(failed)?;
        return Ok(YamlValue::Int(if sign < 0.0 { -sum } else { sum }));
    } else {
        (body, 10)
    };
    match exact(digits, base) {
        Some(value) => Ok(YamlValue::Int(if sign < 0.0 { -value } else { value })),
        None => {
            let value = match base {
                10 => digits.parse().map_err(|_| failed)?,
                _ => number(digits, base)?,
            };
            Ok(YamlValue::Float(sign * value))
        }
    }
}

fn float(word: &str) -> Result<YamlValue, &'static str> {
    let failed = "not a number";
    let plain = word.replace('_', "").to_lowercase();
    let body = unsigned(&plain);
    let sign = if plain.starts_with('-') { -1.0 } else { 1.0 };
    let value = match body {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ if body.contains(':') => body.split(':').try_fold(0.0, |sum: f64, part| {
            let part: f64 = part.parse().map_err(|_| failed)?;
            Ok::<_, &str>(sum.mul_add(60.0, part))
        })?,
        _ => body.parse().map_err(|_| failed)?,
    };
    Ok(YamlValue::Float(sign * value))
}
