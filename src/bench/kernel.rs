//! What the kernel tells of processes and sockets: CPU time, memory, datagrams that found no room.
//! Not here: what a server says of itself (`daemon`).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// CPU time by what the thread or process is called.
pub type Times = BTreeMap<String, Duration>;

/// CPU time of all threads of these processes (PERF "How to measure": schedstat, in nanoseconds).
pub fn cpu_times(processes: &[u32]) -> Times {
    let mut times = Times::new();
    for process in processes {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        for task in tasks.map(|task| task.path()) {
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            let schedstat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            let nanoseconds = schedstat.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
            *times.entry(name.trim().to_owned()).or_default() += Duration::from_nanos(nanoseconds);
        }
    }
    times
}

/// This process and all below it.
pub fn family(process: u32) -> Vec<u32> {
    let mut family = vec![process];
    let mut next = 0;
    while let Some(parent) = family.get(next) {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        next += 1;
    }
    family
}

/// Memory of a process, bytes: what it has alone and its share of what others have as well (PSS). One that is gone has none.
pub fn memory_bytes(process: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    kibibytes * 1024
}

/// What the kernel keeps for all UDP and TCP sockets of this machine, bytes.
pub fn socket_memory_bytes() -> u64 {
    let pages = |line: &str| -> Option<u64> {
        let words = line.strip_prefix("UDP:").or_else(|| line.strip_prefix("TCP:"))?;
        words.split_whitespace().skip_while(|word| *word != "mem").nth(1)?.parse().ok()
    };
    let table = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    table.lines().filter_map(pages).sum::<u64>() * 4096
}

/// Datagrams that the UDP sockets on these ports had no room for, ever.
pub fn overflows(ports: &[u16]) -> u64 {
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let drops = |line: &str| -> Option<u64> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(words.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        if ports.contains(&port) { words.last()?.parse().ok() } else { None }
    };
    table.lines().skip(1).filter_map(drops).sum()
}
