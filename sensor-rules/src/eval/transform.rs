//! Applies transformers to the values of an event.

use smallvec::SmallVec;

use super::values::{Cached, Values};
use crate::transform::Transformer;

/// The result of a transformer; none of `args` is missing.
pub(super) fn apply(
    values: &mut Values,
    transformer: Transformer,
    args: &[Cached],
    index: Option<&[u8]>,
) -> Cached {
    match (transformer, args) {
        (Transformer::ToLower, [arg]) => each(values, *arg, |values, text| {
            rewrite(values, text, <[u8]>::make_ascii_lowercase)
        }),
        (Transformer::ToUpper, [arg]) => each(values, *arg, |values, text| {
            rewrite(values, text, <[u8]>::make_ascii_uppercase)
        }),
        (Transformer::Basename, [arg]) => each(values, *arg, basename),
        (Transformer::B64, [arg]) => each(values, *arg, decode_base64),
        (Transformer::Len, [arg]) => length(values, *arg),
        (Transformer::Join, [separator, list]) => join(values, *separator, *list),
        (Transformer::Concat, texts) => join_items(values, &[], texts),
        (Transformer::Getopt, [list, options]) => getopt(values, *list, *options, index),
        _ => Cached::Missing,
    }
}

/// Applies `change` to a text, or to each text of a list; elements without a result are left out.
fn each(values: &mut Values, arg: Cached, change: fn(&mut Values, Cached) -> Cached) -> Cached {
    if !matches!(arg, Cached::List { .. }) {
        return change(values, arg);
    }
    let mut items: SmallVec<[Cached; 8]> = SmallVec::from_slice(values.items(&arg));
    items.iter_mut().for_each(|item| *item = change(values, *item));
    items.retain(|item| *item != Cached::Missing);
    values.list(&items)
}

fn rewrite(values: &mut Values, text: Cached, change: fn(&mut [u8])) -> Cached {
    let (Cached::Text { start, end } | Cached::Bytes { start, end }) = text else {
        return Cached::Missing;
    };
    let (start, end) = (start as usize, end as usize);
    values.compose(end - start, |kept| {
        let fresh = kept.len();
        kept.extend_from_within(start..end);
        change(&mut kept[fresh..]);
    })
}

fn basename(values: &mut Values, text: Cached) -> Cached {
    let (Cached::Text { start, end }, Some(bytes)) = (text, values.bytes(text)) else {
        return Cached::Missing;
    };
    let kept = memchr::memrchr(b'/', bytes).map_or(bytes.len(), |slash| bytes.len() - slash - 1);
    Cached::Text {
        start: end
            .saturating_sub(u32::try_from(kept).unwrap_or(u32::MAX))
            .max(start),
        end,
    }
}

fn length(values: &Values, arg: Cached) -> Cached {
    let length = match values.bytes(arg) {
        Some(bytes) => bytes.len(),
        None => values.items(&arg).len(),
    };
    Cached::Uint(length as u64)
}

/// Decodes the standard alphabet; the padding may be missing.
fn decode_base64(values: &mut Values, text: Cached) -> Cached {
    let Some(bytes) = values.bytes(text) else {
        return Cached::Missing;
    };
    let digits = bytes
        .strip_suffix(b"==")
        .or_else(|| bytes.strip_suffix(b"="))
        .unwrap_or(bytes);
    if digits.len() % 4 == 1 || !digits.iter().all(|digit| base64_value(*digit).is_some()) {
        return Cached::Missing;
    }
    let digits: SmallVec<[u8; 256]> = SmallVec::from_slice(digits);
    let decoded = values.compose(digits.len(), |kept| {
        let (mut bits, mut count) = (0_u32, 0);
        for value in digits.iter().filter_map(|digit| base64_value(*digit)) {
            bits = bits << 6 | u32::from(value);
            count += 6;
            if count >= 8 {
                count -= 8;
                kept.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
            }
        }
    });
    match (text, decoded) {
        (Cached::Bytes { .. }, Cached::Text { start, end }) => Cached::Bytes { start, end },
        (_, decoded) => decoded,
    }
}

const fn base64_value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

fn join(values: &mut Values, separator: Cached, list: Cached) -> Cached {
    let items: SmallVec<[Cached; 8]> = SmallVec::from_slice(values.items(&list));
    let Some(separator) = values.bytes(separator) else {
        return Cached::Missing;
    };
    let separator: SmallVec<[u8; 64]> = SmallVec::from_slice(separator);
    join_items(values, &separator, &items)
}

/// Decimal digits of a number, and its sign.
const NUMBER_BYTES_MAX: usize = 20;

fn join_items(values: &mut Values, separator: &[u8], items: &[Cached]) -> Cached {
    let bytes_max = items
        .iter()
        .map(|item| separator.len() + values.bytes(*item).map_or(NUMBER_BYTES_MAX, <[u8]>::len))
        .sum();
    values.compose(bytes_max, |kept| {
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                kept.extend_from_slice(separator);
            }
            match *item {
                Cached::Text { start, end } | Cached::Bytes { start, end } => {
                    kept.extend_from_within(start as usize..end as usize);
                }
                Cached::Int(number) => write_number(kept, number < 0, number.unsigned_abs()),
                Cached::Uint(number) => write_number(kept, false, number),
                _ => {}
            }
        }
    })
}

fn write_number(kept: &mut Vec<u8>, negative: bool, mut number: u64) {
    let mut digits = [0; NUMBER_BYTES_MAX];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if negative {
        kept.push(b'-');
    }
    kept.extend_from_slice(&digits[at..]);
}

/// The options of a command line, read as POSIX `getopt` does up to the first argument that is no option. Long options
/// and letters that `options` does not name are left out.
fn getopt(values: &mut Values, list: Cached, options: Cached, index: Option<&[u8]>) -> Cached {
    let args: SmallVec<[Cached; 8]> = SmallVec::from_slice(values.items(&list));
    let Some(options) = values.bytes(options) else {
        return Cached::Missing;
    };
    let options: SmallVec<[u8; 64]> = SmallVec::from_slice(options);
    let mut found: SmallVec<[(u8, OptionValue); 8]> = SmallVec::new();
    let mut position = 0;
    while let Some((start, bytes)) = option_at(values, &args, position) {
        position += 1;
        if bytes == b"--" {
            break;
        }
        if bytes.starts_with(b"--") {
            continue;
        }
        for (at, letter) in bytes.iter().copied().enumerate().skip(1) {
            let Some(takes_value) = takes_value(&options, letter) else {
                continue;
            };
            let after = start + u32::try_from(at).unwrap_or(u32::MAX);
            if !takes_value {
                found.push((letter, OptionValue::Letter(after)));
                continue;
            }
            if at + 1 < bytes.len() {
                let end = start + u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                found.push((
                    letter,
                    OptionValue::Given(
                        after,
                        Cached::Text {
                            start: after + 1,
                            end,
                        },
                    ),
                ));
            } else if let Some(value) = args.get(position) {
                position += 1;
                found.push((letter, OptionValue::Given(after, *value)));
            } else {
                found.push((letter, OptionValue::Lacking));
            }
            break;
        }
    }
    match index {
        Some([letter]) => {
            let newest = found.iter().rev().find(|(known, _)| known == letter);
            newest.map_or(Cached::Missing, |(_, value)| value.of_index())
        }
        Some(_) => Cached::Missing,
        None => {
            let mut items: SmallVec<[Cached; 16]> = SmallVec::new();
            found.iter().for_each(|(_, value)| value.add_to(&mut items));
            values.list(&items)
        }
    }
}

/// An option of the command line. Positions are those of its letter in the kept bytes.
#[derive(Clone, Copy)]
enum OptionValue {
    Letter(u32),
    Given(u32, Cached),
    /// It takes a value, but the command line ends.
    Lacking,
}

const EMPTY: Cached = Cached::Text { start: 0, end: 0 };

impl OptionValue {
    const fn letter(position: u32) -> Cached {
        Cached::Text {
            start: position,
            end: position + 1,
        }
    }

    const fn of_index(self) -> Cached {
        match self {
            Self::Letter(position) => Self::letter(position),
            Self::Given(_, value) => value,
            Self::Lacking => EMPTY,
        }
    }

    fn add_to(self, items: &mut SmallVec<[Cached; 16]>) {
        match self {
            Self::Letter(position) => items.push(Self::letter(position)),
            Self::Given(position, value) => items.extend([Self::letter(position), value]),
            Self::Lacking => items.push(EMPTY),
        }
    }
}

/// The argument at `position`, if it is an option.
fn option_at<'a>(values: &'a Values, args: &[Cached], position: usize) -> Option<(u32, &'a [u8])> {
    let arg = *args.get(position)?;
    let Cached::Text { start, .. } = arg else {
        return None;
    };
    let bytes = values.bytes(arg)?;
    (bytes.len() > 1 && bytes[0] == b'-').then_some((start, bytes))
}

/// Whether the option takes a value, or `None` where `options` does not name it.
fn takes_value(options: &[u8], letter: u8) -> Option<bool> {
    let at = options
        .iter()
        .position(|option| *option == letter)
        .filter(|_| letter != b':')?;
    Some(options.get(at + 1) == Some(&b':'))
}
