//! What bounds the memory that reading a config takes. The evaluator counts what it makes; the
//! template engine cannot, and a text that is joined with itself forty times fits into no machine.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::error::CliError;
use crate::verdict::status;

/// Bytes that reading may add to the memory of this process; real configs need 5 MiB.
const MOST: u64 = 512 << 20;
/// The longest time that reading a config may take.
const LONGEST: Duration = Duration::from_secs(20);
/// Between looks; memory cannot be filled by much more meanwhile than by what the limit leaves.
const INTERVAL: Duration = Duration::from_millis(2);

/// Watches until it is dropped. Ends the program when there is too much, which only happens while
/// nothing has been made yet that would have to be removed.
#[derive(Debug)]
pub(super) struct MemoryWatch(#[expect(dead_code, reason = "dropped, not used")] Sender<()>);

impl MemoryWatch {
    /// Starts watching.
    pub(super) fn start() -> MemoryWatch {
        let (sender, receiver) = channel();
        let (before, started) = (resident(), Instant::now());
        std::thread::spawn(move || {
            while receiver.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if started.elapsed() > LONGEST {
                    let seconds = LONGEST.as_secs();
                    let message = format!("reading the config takes longer than {seconds} s");
                    let hint = "look for a template that works on large lists again and again";
                    CliError::new(status::CONFIG, message, Some(hint.to_owned())).print();
                    std::process::exit(status::CONFIG.into());
                }
                if resident().saturating_sub(before) > MOST {
                    let message =
                        format!("reading the config takes more than {} MiB of memory", MOST >> 20);
                    let hint = "look for a template that joins a text with itself again and again";
                    CliError::new(status::CONFIG, message, Some(hint.to_owned())).print();
                    std::process::exit(status::CONFIG.into());
                }
            }
        });
        MemoryWatch(sender)
    }
}

/// Bytes of this process that are in memory; 0 if that is not known. See proc_pid_statm(5).
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * sandbox::host::page_size()
}
