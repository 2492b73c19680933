//! Numbers for people: enough digits to see what differs, no more. Zero is written 0 only where it is exact.

use std::time::Duration;

/// Writes shares of one table, all with the same decimals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Percent {
    decimals: usize,
}

// === impl Percent ===

impl Percent {
    /// With three digits for shares of this size, but one decimal at least.
    pub(super) fn for_shares_of(share: f64) -> Self {
        Self { decimals: decimals(share * 100.0, 3).max(1) }
    }

    pub(super) fn write(self, share: f64) -> String {
        let Self { decimals } = self;
        let rounded = format!("{:.decimals$}", share * 100.0);
        if share == 0.0 {
            "0".to_owned()
        } else if rounded.bytes().all(|digit| b"0.".contains(&digit)) {
            format!("< {:.decimals$} %", 0.1_f64.powf(decimals as f64))
        } else {
            format!("{rounded} %")
        }
    }
}

/// A share on its own: `25 %`, `2.31 %`, `0.00153 %`, `0`.
pub(super) fn percent(share: f64) -> String {
    if share == 0.0 {
        return "0".to_owned();
    }
    format!("{} %", trimmed(share * 100.0, 3))
}

/// `1.003`: how many times its fair share a member has.
pub(super) fn ratio(ratio: f64) -> String {
    format!("{ratio:.3}")
}

/// A ratio above 1, in words: `0.41 % more than`, `2.53 times`.
pub(super) fn excess(ratio: f64) -> String {
    if ratio < 1.5 {
        format!("{} % more than", trimmed((ratio - 1.0) * 100.0, 2))
    } else {
        format!("{} times", trimmed(ratio, 3))
    }
}

/// `65,536`.
pub(super) fn count(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<String>>().join(",")
}

/// `3 members`, `1 member`.
pub(super) fn counted(number: usize, of: &str) -> String {
    if number == 1 { format!("1 {of}") } else { format!("{} {of}s", count(number)) }
}

/// `512 KiB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", trimmed(bytes as f64 / 1024.0, 3)),
        _ => format!("{} MiB", trimmed(bytes as f64 / 1_048_576.0, 3)),
    }
}

/// `12.3 ns`, `4.1 ms`.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (factor, unit) = match seconds {
        ..1e-6 => (1e9, "ns"),
        ..1e-3 => (1e6, "µs"),
        ..1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    format!("{} {unit}", trimmed(seconds * factor, 2))
}

/// So many digits, or all before the point; without zeros at the end.
pub(super) fn trimmed(number: f64, digits: i32) -> String {
    let decimals = decimals(number, digits);
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// How many decimals show so many digits.
#[expect(clippy::cast_possible_truncation, reason = "a logarithm is small")]
fn decimals(number: f64, digits: i32) -> usize {
    let magnitude = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    usize::try_from(digits - 1 - magnitude).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_on_its_own_has_three_digits_and_zero_none() {
        let shares = [(0.25, "25 %"), (0.250_04, "25 %"), (0.843_75, "84.4 %"), (1.0, "100 %")];
        let small = [(0.023_14, "2.31 %"), (0.000_015_26, "0.00153 %"), (0.0, "0")];
        for (share, written) in shares.into_iter().chain(small) {
            assert_eq!(percent(share), written);
        }
    }

    #[test]
    fn shares_of_a_table_have_equal_decimals_and_only_nothing_is_zero() {
        let third = Percent::for_shares_of(1.0 / 3.0);
        assert_eq!(
            [0.843_75, 0.046_875, 0.0001, 0.0].map(|share| third.write(share)),
            ["84.4 %", "4.7 %", "< 0.1 %", "0"]
        );
        let thousandth = Percent::for_shares_of(0.001);
        assert_eq!([0.001_234, 0.000_001].map(|share| thousandth.write(share)), ["0.123 %", "< 0.001 %"]);
    }

    #[test]
    fn what_is_above_a_fair_share_is_said_in_words() {
        assert_eq!([1.002_37, 2.531_25].map(excess), ["0.24 % more than", "2.53 times"]);
    }

    #[test]
    fn counts_sizes_and_times_have_units() {
        assert_eq!([7, 512, 65_536, 1_048_576].map(count), ["7", "512", "65,536", "1,048,576"]);
        assert_eq!([counted(1, "member"), counted(2, "member")], ["1 member", "2 members"]);
        assert_eq!([90, 3584, 524_288, 8 << 20].map(bytes), ["90 B", "3.5 KiB", "512 KiB", "8 MiB"]);
        let times = [12, 3_400, 4_123_456, 2_000_000_000].map(Duration::from_nanos);
        assert_eq!(times.map(time), ["12 ns", "3.4 µs", "4.1 ms", "2 s"]);
    }
}
