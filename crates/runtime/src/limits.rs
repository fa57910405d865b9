//! How much memory a fit may take.

/// Used where the system does not say.
const FALLBACK: u64 = 8 << 30;

/// The memory a fit may take, in bytes: what the system calls available, or `LVMC_MEMORY_MB`.
#[must_use]
pub fn memory() -> u64 {
    if let Some(mb) = std::env::var("LVMC_MEMORY_MB").ok().and_then(|t| t.parse::<u64>().ok()) {
        return mb << 20;
    }
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|l| l.strip_prefix("MemAvailable:"))
                .and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
        })
        .map_or(FALLBACK, |kb| kb << 10)
}

/// `1.5 GB`.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[allow(clippy::cast_precision_loss)]
    let mut x = bytes as f64;
    let mut unit = 0;
    while x >= 1000.0 && unit + 1 < UNITS.len() {
        x /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} bytes")
    } else {
        format!("{x:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_readable() {
        assert_eq!(super::show_bytes(12), "12 bytes");
        assert_eq!(super::show_bytes(1_500_000_000), "1.5 GB");
        assert_eq!(super::show_bytes(u64::MAX), "18.4 EB");
    }
}
