//! The nearest name, for "did you mean".

/// Names longer than this are not compared: the distance costs their product.
const NAME_BYTES_MAX: usize = 128;

/// The candidate that a typing error most likely meant. None where nothing is near.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    // One slip in short names, three in long ones.
    let limit = name.chars().count().div_ceil(3).clamp(1, 3);
    candidates
        .filter(|candidate| candidate.len() <= NAME_BYTES_MAX && *candidate != name)
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit)
        .map(|candidate| {
            let (left, right) = (name.to_ascii_lowercase(), candidate.to_ascii_lowercase());
            (strsim::osa_distance(&left, &right), candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        let names = ["proc.name", "proc.pname", "fd.name", "condition", "in"];
        for (name, expected) in [
            ("proc.nmae", Some("proc.name")),
            ("proc.nam", Some("proc.name")),
            ("CONDITION", Some("condition")),
            ("conditon", Some("condition")),
            ("user.shell", None),
            ("", None),
            ("xy", None),
        ] {
            assert_eq!(nearest(name, names.into_iter()), expected, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(1000), names.into_iter()), None);
    }
}
