//! Answers by number to classic BPF (linux/filter.h, linux/seccomp.h): a search tree for each
//! architecture, with conditions at its leaves.

use super::{Answer, Comparison};

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;
/// Arguments of a call, of eight bytes each.
pub(super) const MOST_ARGUMENTS: usize = 6;

/// Instructions: load a word of the data, keep some of its bits, jump, jump if equal, if greater,
/// if at least, return.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// `SECCOMP_RET_ALLOW` and `SECCOMP_RET_ERRNO`.
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// What a call gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Where no refusal applies.
    pub(super) answer: Answer,
    /// Refusals where all conditions hold; the first that applies counts. A refusal has no more
    /// than [`MOST_ARGUMENTS`] of them.
    pub(super) refusals: Vec<(Answer, Vec<Condition>)>,
}

/// An [`Argument`](super::Argument) with its constants resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// Less than [`MOST_ARGUMENTS`].
    pub(super) index: u32,
    pub(super) is: Comparison,
    pub(super) mask: u64,
    pub(super) value: u64,
}

/// The program for architectures by their number, each with where another leaf begins; the
/// first of these is that of call 0. What is of another architecture does not exist.
pub(super) fn program(architectures: &[(u32, Vec<(u32, Leaf)>)]) -> Vec<u64> {
    let mut out = vec![instruction(LOAD, 0, 0, ARCH)];
    for (token, starts) in architectures {
        let mut tree = vec![instruction(LOAD, 0, 0, NUMBER)];
        branch(starts, &mut tree);
        // Jumps on conditions are short, others are not.
        out.push(instruction(IF_EQUAL, 1, 0, *token));
        out.push(instruction(JUMP, 0, 0, tree.len() as u32));
        out.append(&mut tree);
    }
    out.push(answer(Answer::ENOSYS));
    out
}

fn branch(starts: &[(u32, Leaf)], out: &mut Vec<u64>) {
    match starts {
        [] => {}
        [(_, leaf)] => {
            for (refusal, conditions) in &leaf.refusals {
                out.append(&mut refuse(*refusal, conditions));
            }
            out.push(answer(leaf.answer));
        }
        _ => {
            let (low, high) = starts.split_at(starts.len() / 2);
            let mut below = Vec::new();
            branch(low, &mut below);
            match u8::try_from(below.len()) {
                Ok(length) => out.push(instruction(IF_AT_LEAST, length, 0, high[0].0)),
                // Too far for a jump on a condition.
                Err(_) => {
                    out.push(instruction(IF_AT_LEAST, 0, 1, high[0].0));
                    out.push(instruction(JUMP, 0, 0, below.len() as u32));
                }
            }
            out.append(&mut below);
            branch(high, out);
        }
    }
}

/// Gives the answer if all conditions hold, else goes on behind it.
fn refuse(refusal: Answer, conditions: &[Condition]) -> Vec<u64> {
    let mut out = vec![answer(refusal)];
    for condition in conditions.iter().rev() {
        let mut all = check(condition, out.len() as u8);
        all.append(&mut out);
        out = all;
    }
    out
}

/// Goes on if a condition holds, else skips what comes after it as well.
fn check(condition: &Condition, after: u8) -> Vec<u64> {
    let Condition { index, is, mask, value } = *condition;
    let at = ARGUMENTS + 8 * index;
    let (low, high) = if cfg!(target_endian = "big") { (at + 4, at) } else { (at, at + 4) };
    let of = |number: u64| (number as u32, (number >> 32) as u32);
    let ((low_value, high_value), (low_mask, high_mask)) = (of(value & mask), of(mask));
    let load = |at, mask| [instruction(LOAD, 0, 0, at), instruction(AND, 0, 0, mask)];
    let ([load_low, and_low], [load_high, and_high]) = (load(low, low_mask), load(high, high_mask));
    match is {
        Comparison::Equal => vec![
            load_high,
            and_high,
            instruction(IF_EQUAL, 0, after + 3, high_value),
            load_low,
            and_low,
            instruction(IF_EQUAL, 0, after, low_value),
        ],
        Comparison::Other => vec![
            load_high,
            and_high,
            instruction(IF_EQUAL, 0, 3, high_value),
            load_low,
            and_low,
            instruction(IF_EQUAL, after, 0, low_value),
        ],
        Comparison::Above => vec![
            load_high,
            and_high,
            instruction(IF_GREATER, 4, 0, high_value),
            instruction(IF_EQUAL, 0, after + 3, high_value),
            load_low,
            and_low,
            instruction(IF_GREATER, 0, after, low_value),
        ],
    }
}

fn answer(answer: Answer) -> u64 {
    let value = match answer {
        Answer::Allow => ALLOW,
        Answer::Success => ERRNO,
        Answer::EPERM => ERRNO | libc::EPERM as u32,
        Answer::EAFNOSUPPORT => ERRNO | libc::EAFNOSUPPORT as u32,
        Answer::ENOSYS => ERRNO | libc::ENOSYS as u32,
    };
    instruction(RETURN, 0, 0, value)
}

/// `struct sock_filter` in the byte order of this machine.
fn instruction(code: u16, if_true: u8, if_false: u8, value: u32) -> u64 {
    let [a, b] = code.to_ne_bytes();
    let [c, d, e, f] = value.to_ne_bytes();
    u64::from_ne_bytes([a, b, if_true, if_false, c, d, e, f])
}
