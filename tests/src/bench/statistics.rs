//! Summaries of samples.

/// The value below which `share` (0 to 1) of the samples lie, by the nearest rank; NaN without samples.
pub(super) fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among few samples"
    )]
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub(super) fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// `median [quartile to quartile]`, with `digits` after the point.
pub(super) fn with_spread(samples: &[f64], digits: usize) -> String {
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(samples, share));
    format!("{middle:.digits$} [{low:.digits$} to {high:.digits$}]")
}

/// As a floating-point number; exact for all that is counted or timed here.
#[expect(
    clippy::cast_precision_loss,
    reason = "counters and nanoseconds stay far below 2^53"
)]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// `part / whole`; `None` when there is no whole.
pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| number(part) / number(whole))
}

/// Digits in groups of three.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (share, expected) in [(0.0, 1.0), (0.25, 25.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            assert!(
                (quantile(&samples, share) - expected).abs() < f64::EPSILON,
                "{share}"
            );
        }
        assert!(median(&[]).is_nan());
        assert_eq!(with_spread(&[1.0, 3.0, 2.0, 4.0], 1), "2.0 [1.0 to 3.0]");
    }

    #[test]
    fn digits_are_grouped() {
        for (count, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), expected);
        }
    }
}
