//! Times, sizes and counts as people read them. Pure.

/// A duration: `4.1s`, `42s`, `4m 12s`, `1h 02m`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let seconds = if seconds.is_finite() {
        seconds.max(0.0)
    } else {
        0.0
    };
    // From 9.95 on, one decimal would give `10.0s`, wider than `10s`.
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = whole_seconds(seconds);
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// An elapsed time: `0:07`, `12:34`, `1:02:03`.
#[must_use]
pub fn stopwatch(seconds: f64) -> String {
    let whole = whole_seconds(seconds.max(0.0).floor());
    if whole < 3600 {
        format!("{}:{:02}", whole / 60, whole % 60)
    } else {
        format!(
            "{}:{:02}:{:02}",
            whole / 3600,
            whole % 3600 / 60,
            whole % 60
        )
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "callers pass finite, non-negative values; the cast saturates beyond u64"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.round() as u64
}

/// A size with a binary unit: `512 B`, `1.1 GiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Integer tenths: a float would round 1023.99 KiB up to 1024.0 KiB.
    let mut unit = 0;
    let mut scale: u128 = 1024;
    while unit + 1 < UNITS.len() && u128::from(count) * 10 / scale >= 10_240 {
        unit += 1;
        scale *= 1024;
    }
    let tenths = u128::from(count) * 10 / scale;
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A count with its noun: `1 variant`, `2 variants`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well_at_every_size() {
        for (seconds, text) in [
            (0.04, "0.0s"),
            (4.06, "4.1s"),
            (9.97, "10s"),
            (59.6, "1m 00s"),
            (252.0, "4m 12s"),
            (3720.0, "1h 02m"),
            (f64::NAN, "0.0s"),
            (-1.0, "0.0s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(stopwatch(7.9), "0:07");
        assert_eq!(stopwatch(3723.0), "1:02:03");
    }

    #[test]
    fn sizes_never_show_1024_of_a_unit() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (1_170_000_000, "1.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
