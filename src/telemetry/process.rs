//! What the kernel knows of this process, under the names that all Prometheus clients use.
//! Not here: anything of our own. What cannot be read is left out.

use std::fs;

/// Name, type, help, value.
pub(super) type Reading = (&'static str, &'static str, &'static str, f64);

/// Ticks of `/proc/self/stat` a second: what Linux tells user space on every architecture it runs us on.
const TICKS_A_SECOND: f64 = 100.0;

pub(super) fn read() -> Vec<Reading> {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (status, limits, stat) = (text("/proc/self/status"), text("/proc/self/limits"), text("/proc/self/stat"));
    let descriptors = fs::read_dir("/proc/self/fd").map(|entries| entries.count()).ok();
    #[expect(clippy::cast_precision_loss, reason = "no process has 2^52 files")]
    let descriptors = descriptors.map(|count| count as f64);
    let kibibytes = |key| field(&status, key).map(|kibibytes| kibibytes * 1024.0);
    let readings = [
        ("process_resident_memory_bytes", "gauge", "Memory in use.", kibibytes("VmRSS:")),
        ("process_virtual_memory_bytes", "gauge", "Addresses in use.", kibibytes("VmSize:")),
        ("process_threads", "gauge", "Threads.", field(&status, "Threads:")),
        ("process_open_fds", "gauge", "Open files.", descriptors),
        ("process_max_fds", "gauge", "Open files this process may have.", field(&limits, "Max open files")),
        ("process_cpu_seconds_total", "counter", "Processor time used.", cpu_seconds(&stat)),
    ];
    readings.into_iter().filter_map(|(name, kind, help, value)| Some((name, kind, help, value?))).collect()
}

/// The number after a word at the beginning of a line.
fn field(text: &str, key: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

/// proc_pid_stat(5): fields 14 and 15, counted after the name in parentheses, which may have blanks in it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_as_documented() {
        assert_eq!(field("Name:\tx\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1234.0));
        assert_eq!(field("Max open files            1024    4096   files", "Max open files"), Some(1024.0));
        assert_eq!(field("", "VmRSS:"), None);
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 100 0 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }
}
